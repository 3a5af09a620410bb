package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

// hostileViewer is a demo Viewer with hostile runs, and with hostile responses that no
// real Viewer sends.
type hostileViewer struct {
	server *httptest.Server
	*demotest.Viewer
	// Ids of runs, by what is hostile about them.
	names, assets, sparse, images, long, endless string
	// floods and tunnels enable hostile responses to requests that the server makes on
	// its own.
	floods, tunnels atomic.Bool
	// plain are runs that are read only once each.
	plain []string
}

func newHostileViewer() (*hostileViewer, error) {
	viewer, err := demotest.New(demotest.Config{Generation: demotest.Gen07, Empty: true})
	if err != nil {
		return nil, err
	}
	h := &hostileViewer{Viewer: viewer}
	add := func(r demotest.Run) string {
		r.Project, r.Status = "p", "finished"
		return viewer.AddRun(r)
	}
	h.names = add(demotest.Run{Name: "names", Events: wide(10_000, 2)})
	h.assets = add(demotest.Run{Name: "assets", Events: curve(10), Files: map[string][]byte{
		"assets.json": []byte(`{"datasets":[` + strings.Repeat("{},", 2_000_000) + `{}]}`),
	}})
	h.sparse = add(demotest.Run{Name: "sparse", Events: sparse(40_000, 20_000)})
	h.images = add(demotest.Run{Name: "images", Events: images(100), Files: map[string][]byte{"media/a.png": bytes.Repeat([]byte("x"), 5*mib)}})
	h.long = add(demotest.Run{Name: "long", Events: curve(400_000)})
	h.endless = add(demotest.Run{Name: "endless", Events: curve(10)})
	for range 12 {
		h.plain = append(h.plain, add(demotest.Run{Name: "plain", Events: curve(200_000)}))
	}
	h.server = httptest.NewServer(h)
	return h, nil
}

func (h *hostileViewer) Close() { h.server.Close() }

// ServeHTTP answers as the demo Viewer, except for the hostile responses.
func (h *hostileViewer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.Contains(r.URL.Path, h.endless) && strings.HasSuffix(r.URL.Path, "/assets/download"):
		w.Header().Set("Content-Range", "bytes 0-1073741823/1073741824")
		w.WriteHeader(http.StatusPartialContent)
		for range 1024 {
			if _, err := w.Write(bytes.Repeat([]byte("x"), mib)); err != nil {
				return
			}
		}
	case r.URL.Path == "/api/remote/viewer/sessions" && h.tunnels.Load():
		var list []string
		for i := range 10_000 {
			list = append(list, fmt.Sprintf(`{"session_id":"s%d","host":"h","port":22,"username":"u","local_port":%d,"remote_port":23300,"status":"running","url":"http://localhost:%d"}`, i, 10_000+i, 10_000+i))
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"sessions":[%s]}`, strings.Join(list, ","))
	case r.URL.Path == "/api/runs" && h.floods.Load():
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("[" + strings.Repeat("{},", 10*mib) + "{}]"))
	default:
		h.Viewer.ServeHTTP(w, r)
	}
}

// line is one line of an event file.
func line(out *bytes.Buffer, step int, cells string) {
	fmt.Fprintf(out, "{\"ts\":%d,\"type\":\"metrics\",\"data\":{%s,\"global_step\":%d,\"time\":%d}}\n", 1_700_000_000+step, cells, step, 1_700_000_000+step)
}

func curve(rows int) []byte {
	var out bytes.Buffer
	for step := range rows {
		line(&out, step, `"loss":0.5`)
	}
	return out.Bytes()
}

// wide has all names in every row, sparse has another name in each.
func wide(names, rows int) []byte {
	var cells, out bytes.Buffer
	for i := range names {
		fmt.Fprintf(&cells, `,"m%05d":%d`, i, i)
	}
	for step := range rows {
		line(&out, step, cells.String()[1:])
	}
	return out.Bytes()
}

func sparse(names, rows int) []byte {
	var out bytes.Buffer
	for step := range rows {
		line(&out, step, fmt.Sprintf(`"m%d":1,"m%d":2`, 2*step%names, (2*step+1)%names))
	}
	return out.Bytes()
}

func images(n int) []byte {
	var out bytes.Buffer
	for step := range n {
		line(&out, step, `"loss":1`)
		fmt.Fprintf(&out, "{\"ts\":%d,\"type\":\"image\",\"data\":{\"key\":\"i\",\"path\":\"media/a.png\",\"step\":%d}}\n", 1_700_000_000+step, step)
	}
	return out.Bytes()
}
