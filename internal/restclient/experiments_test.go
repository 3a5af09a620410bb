package restclient

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const runID = "20261123_151105_e4a55c"

func TestRuns_DecodeAllGenerations(t *testing.T) {
	for _, tt := range versions {
		t.Run(tt.version, func(t *testing.T) {
			v := newViewer(t, tt.version)
			v.on("GET /api/runs", answer(200, "application/json", fixture(t, tt.version, "runs_list")))
			list, err := v.client(t).Runs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(list.Runs) != 6 || list.Lossy {
				t.Errorf("%d runs, lossy %t", len(list.Runs), list.Lossy)
			}
			old := tt.generation == Generation05
			for _, run := range list.Runs {
				if run.ID == "" || run.Dir == "" || run.CreatedTime.Unix() < 1e9 || !run.Status.Known || list.Find(run.ID).ID != run.ID {
					t.Errorf("run %+v", run)
				}
				if run.Project.Known != old || run.Name.Known != old || run.ArtifactsUsed.Known != old || run.Path.Known == old || run.Assets.Known == old {
					t.Errorf("presence of %+v", run)
				}
			}
		})
	}
}

func TestGetRun_DecodesAllGenerations(t *testing.T) {
	for _, tt := range versions {
		t.Run(tt.version, func(t *testing.T) {
			v := newViewer(t, tt.version)
			v.on("GET /api/runs/"+runID, answer(200, "application/json", fixture(t, tt.version, "run_detail_finished")))
			run, err := v.client(t).GetRun(t.Context(), runID)
			if err != nil {
				t.Fatal(err)
			}
			if run.Status.Value != "finished" || run.EventPath == "" || run.LogPath == "" || !run.PID.Known {
				t.Errorf("run %+v", run)
			}
			if known := tt.generation == Generation07; run.StartTime.IsZero() == known || run.Duration.Known != known || (run.Summary != nil) != known {
				t.Errorf("start %v, duration %v, summary %v", run.StartTime, run.Duration, run.Summary)
			}
		})
	}
}

func TestExperiments_Reads(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on("GET /api/environment/"+runID, jsonAnswer(`{"available":true,"environment":{"cpu":8,"gpu":null,"os":{"name":"linux"}}}`))
	v.on("GET /api/recycle-bin", answer(200, "application/json", fixture(t, "0.6.0", "recycle_bin")))
	c := v.client(t)
	env, err := c.GetEnvironment(t.Context(), runID)
	if err != nil {
		t.Fatal(err)
	}
	want := Values{"cpu": {Kind: ValueInteger, Integer: 8}, "gpu": {}, "os": {Kind: ValueJSON, Text: `{"name":"linux"}`}}
	if diff := cmp.Diff(want, env.Values); diff != "" || !env.Available {
		t.Errorf("available %t: %s", env.Available, diff)
	}
	bin, err := c.RecycleBin(t.Context())
	if err != nil || len(bin) != 2 || bin[0].Path.Value != "edge/empty" || bin[0].DeletedTime.IsZero() || bin[1].DeleteReason.Value != "user_deleted" {
		t.Errorf("%+v, %v", bin, err)
	}
}

func TestExperiments_Changes(t *testing.T) {
	empty, tags := "", []string{}
	for _, tt := range []struct {
		name, route, answer, wantBody, wantQuery string
		call                                     func(context.Context, *Client) (any, error)
		want                                     any
	}{
		{
			"a patch sends only what changes", "PATCH /api/runs/" + runID, `{"ok":true,"alias":null,"tags":["a"]}`, `{"alias":"","tags":[]}`, "",
			func(ctx context.Context, c *Client) (any, error) {
				return c.PatchRun(ctx, runID, RunPatch{&empty, &tags})
			},
			&PatchedRun{Tags: []Text{{Value: "a", Known: true}}},
		},
		{
			"an empty patch changes nothing", "PATCH /api/runs/" + runID, `{"ok":true,"alias":"x","tags":null}`, `{}`, "",
			func(ctx context.Context, c *Client) (any, error) { return c.PatchRun(ctx, runID, RunPatch{}) },
			&PatchedRun{Alias: Text{Value: "x", Known: true}},
		},
		{
			"a soft delete reports each run", "POST /api/runs/soft-delete", string(fixture(t, "0.6.0", "soft_delete_missing")), `{"run_ids":["` + runID + `"]}`, "",
			func(ctx context.Context, c *Client) (any, error) { return c.SoftDelete(ctx, []string{runID}) },
			&BatchResult{Results: map[string]ItemResult{"20200101_000000_abcdef": {Error: Text{Value: "run not found", Known: true}}}},
		},
		{
			"a restore", "POST /api/recycle-bin/restore", `{"results":{"` + runID + `":{"success":true}}}`, `{"run_ids":["` + runID + `"]}`, "",
			func(ctx context.Context, c *Client) (any, error) { return c.Restore(ctx, []string{runID}) },
			&BatchResult{Results: map[string]ItemResult{runID: {Success: true}}},
		},
		{
			"the bin is emptied with a confirmation", "POST /api/recycle-bin/empty", `{"permanently_deleted":3}`, `{"confirm":true}`, "",
			func(ctx context.Context, c *Client) (any, error) { return c.EmptyBin(ctx) }, int64(3),
		},
		{
			"a purge", "POST /api/runs/permanent-delete", `{"results":{"` + runID + `":{"success":true,"bytes_freed":9,"errors":["kept /a/b"]}}}`, `{"run_ids":["` + runID + `"]}`, "",
			func(ctx context.Context, c *Client) (any, error) { return c.PurgeBatch(ctx, []string{runID}, false) },
			map[string]Purge{runID: {Success: true, BytesFreed: Int{Value: 9, Known: true}, Errors: Texts{"kept <path>"}}},
		},
		{
			"a dry purge", "POST /api/runs/permanent-delete", `{"results":{"` + runID + `":{"success":false,"errors":["x"]}}}`, `{"run_ids":["` + runID + `"],"dry_run":true}`, "",
			func(ctx context.Context, c *Client) (any, error) { return c.PurgeBatch(ctx, []string{runID}, true) },
			map[string]Purge{runID: {Errors: Texts{"x"}}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newViewer(t, "0.6.0")
			v.on(tt.route, jsonAnswer(tt.answer))
			got, err := tt.call(t.Context(), v.client(t))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if r := v.requests()[0]; r.Body != tt.wantBody || r.Query != tt.wantQuery {
				t.Errorf("body %s, query %s", r.Body, r.Query)
			}
		})
	}
}

func TestBatches_RefuseInvalidIDs(t *testing.T) {
	v := newViewer(t, "0.7.2")
	c := v.client(t)
	many := make([]string, MaxSoftDelete+1)
	for i := range many {
		many[i] = runID
	}
	for _, ids := range [][]string{nil, many, {runID, ""}} {
		for name, f := range map[string]func([]string) error{
			"soft delete": func(ids []string) error { _, err := c.SoftDelete(t.Context(), ids); return err },
			"restore":     func(ids []string) error { _, err := c.Restore(t.Context(), ids); return err },
			"purge":       func(ids []string) error { _, err := c.PurgeBatch(t.Context(), ids, true); return err },
		} {
			if e, ok := errors.AsType[*IDError](f(ids)); !ok || e.Field != "run_ids" {
				t.Errorf("%s of %d ids was not refused", name, len(ids))
			}
		}
	}
	if len(v.seen) > 0 {
		t.Errorf("sent %v", v.seen)
	}
}

func TestFilename_CannotLeaveAFolder(t *testing.T) {
	for disposition, want := range map[string]string{
		`attachment; filename="a b.zip"`:            "a b.zip",
		`attachment; filename="/etc/passwd"`:        "passwd",
		`attachment; filename="C:\\x\\y.zip"`:       "y.zip",
		`attachment; filename=".."`:                 "",
		`attachment; filename="a/.."`:               "",
		"attachment; filename=\"a\x01b\"":           "ab",
		`attachment; filename*=utf-8''gr%C3%B6.zip`: "grö.zip",
		`attachment; filename*=utf-8''a%0D%0Ab.zip`: "ab.zip",
		`attachment`: "",
		``:           "",
	} {
		if got := filename(disposition); got != want {
			t.Errorf("%q: got %q, want %q", disposition, got, want)
		}
	}
}
