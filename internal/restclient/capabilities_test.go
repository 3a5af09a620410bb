package restclient

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestCapabilities_OfRecordedViewers(t *testing.T) {
	only := map[string][]Capability{
		"0.5.3": {capArtifacts, capRunArtifacts, capPromote, capDeleteVersion, capLineage, capListDirectory},
		"0.6.0": {CapPatchRun, CapPurgeBatch, CapFiles, capAssets, capHostKeys, capListDirectory},
		"0.7.2": {CapPatchRun, CapPurgeBatch, CapFiles, capAssets, capHostKeys, capImages, CapMoveRuns},
	}
	common := []Capability{capHealth, capConfig, capListRuns, capGetRun, capMetricsTable, capSoftDelete, capRestore, capConnect, capGPU, capSavedList}
	all := slices.Concat(only["0.5.3"], only["0.6.0"], only["0.7.2"])
	for _, tt := range versions {
		t.Run(tt.version, func(t *testing.T) {
			caps, err := newViewer(t, tt.version).client(t).Capabilities(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if caps.Generation != tt.generation {
				t.Errorf("generation %q", caps.Generation)
			}
			for _, name := range slices.Concat(common, all) {
				want := slices.Contains(common, name) || slices.Contains(only[tt.version], name)
				if caps.Has(name) != want {
					t.Errorf("%s: %t, want %t", name, !want, want)
				}
			}
			if !slices.IsSorted(caps.List()) || !slices.Contains(caps.List(), capListRuns) {
				t.Errorf("list: %v", caps.List())
			}
		})
	}
}

func TestRoutes_EveryCapabilityExistsInAGeneration(t *testing.T) {
	found := make(map[Capability]bool)
	for _, tt := range versions {
		caps, err := newViewer(t, tt.version).client(t).Capabilities(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range caps.List() {
			found[name] = true
		}
	}
	for name, r := range routes {
		if !found[name] {
			t.Errorf("no recorded Viewer has %s %s", r.method, r.path)
		}
		if r.class == 0 {
			t.Errorf("%s has no class", name)
		}
	}
}

func TestClient_MissingRouteFailsWithoutARequest(t *testing.T) {
	v := newViewer(t, "0.5.3")
	c := v.client(t)
	_, err := c.PurgeBatch(t.Context(), []string{"20261123_151105_e4a55c"}, false)
	e := typed(t, err, KindUnsupported)
	if e.Capability != CapPurgeBatch || e.Alternative == "" || e.ViewerVersion != "0.5.2" || e.Status != 0 {
		t.Errorf("got %+v", e)
	}
	if _, err := c.EventFile(t.Context(), "x", 0); !IsKind(err, KindUnsupported) {
		t.Errorf("event file: %v", err)
	}
	if got := v.requests(); len(got) > 0 {
		t.Errorf("sent %v", got)
	}
	if v.probes() != 1 {
		t.Errorf("asked %d times for the routes", v.probes())
	}
}

func TestCapabilities_AreProbedAgainAfterAFailure(t *testing.T) {
	for _, tt := range []struct {
		name     string
		mismatch http.HandlerFunc
	}{
		{"noticed by a missing route", answer(404, "application/json", []byte(`{"detail":"Not Found"}`))},
		{"noticed by a wrong method", answer(405, "application/json", []byte(`{"detail":"Method Not Allowed"}`))},
		{"noticed by a web page", answer(200, "text/html", []byte("<html>"))},
		{"noticed by a broken connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newViewer(t, "0.7.2")
			v.on("GET /api/storage/stats", jsonAnswer(`{}`))
			c := v.client(t)
			if _, err := c.StorageStats(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.caps.last.ProbedAt = time.Now().Add(-2 * minProbeInterval)
			v.on("GET /openapi.json", answer(200, "application/json", fixture(t, "0.5.3", "openapi")))
			v.on("GET /api/storage/stats", tt.mismatch)
			if _, err := c.StorageStats(t.Context()); err == nil {
				t.Fatal("no error")
			}
			before := len(v.requests())
			_, err := c.StorageStats(t.Context())
			if e := typed(t, err, KindUnsupported); e.ViewerVersion != "0.5.2" || len(v.requests()) != before {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestCapabilities_AreProbedAgainWhenStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		version, probes := "0.5.3", 0
		c := bubbleClient(t, nil, func(cfg *Config) {
			cfg.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
				if req.URL.Path == "/openapi.json" {
					probes++
					return response(200, string(fixture(t, version, "openapi"))), nil
				}
				return response(200, `{}`), nil
			})
		})
		stats := func() error { _, err := c.StorageStats(t.Context()); return err }
		wantKind(t, stats(), KindUnsupported)
		wantKind(t, stats(), KindUnsupported)
		if probes != 1 {
			t.Errorf("%d probes for two refusals at once", probes)
		}
		version = "0.6.0" // upgraded in the meantime
		pass(t, recheckAfter+time.Second)
		if err := stats(); err != nil {
			t.Errorf("an upgrade goes unnoticed: %v", err)
		}
		probes = 0
		for range 10 {
			pass(t, time.Minute)
			if err := stats(); err != nil {
				t.Fatal(err)
			}
		}
		if probes != 1 {
			t.Errorf("%d probes in ten minutes", probes)
		}
	})
}

func TestCapabilities_CallsAreSentWithoutADescription(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"by 404", answer(404, "application/json", []byte(`{"detail":"Not Found"}`))},
		{"by a page", answer(200, "text/html", []byte("<html>"))},
		{"by an empty document", jsonAnswer(`{}`)},
		{"by 403", answer(403, "text/html", nil)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newViewer(t, "0.6.0")
			v.on("GET /openapi.json", tt.answer)
			v.on("GET /api/config", jsonAnswer(`{"storage":"/s"}`))
			c := v.client(t)
			for range 3 {
				if _, err := c.Config(t.Context()); err != nil {
					t.Errorf("config: %v", err)
				}
			}
			if v.probes() != 1 {
				t.Errorf("%d probes for three calls", v.probes())
			}
			if _, err := c.Capabilities(t.Context()); err == nil {
				t.Error("capabilities are known all the same")
			}
		})
	}
}

func TestCapabilities_FailWithoutAViewer(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.Close()
	_, err := v.client(t).Config(t.Context())
	wantKind(t, err, KindUnreachable)
}
