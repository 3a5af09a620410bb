package demotest

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
)

// runImages is GET /api/runs/{run_id}/images (0.7): the image events whose file exists.
func runImages(v *Viewer, c *call) (answer, bool) {
	r := v.Visible(c.Params["run_id"])
	if r == nil {
		return answer{}, false
	}
	images := []object{}
	for line := range bytes.Lines(demoviewer.EventBytes(r, v.Clock())) {
		e, good := parseEvent(line)
		data := demoviewer.Object(e.Data)
		if name := data.Text("path"); good && e.Type == "image" && r.Files[name] != nil {
			images = append(images, object{"step": data["step"], "key": data.Text("key"), "path": v.Dir(r) + "/" + name})
		}
	}
	return demoviewer.OK(object{"run_id": r.ID, "images": images}), true
}

// deletePath is POST /api/paths/soft-delete: the runs below a path, or exactly at it.
func deletePath(v *Viewer, c *call) (answer, bool) {
	path, deleted, now := c.Fields().Text("path"), 0, v.Clock()
	if path == "" {
		return demoviewer.Detail(http.StatusBadRequest, "path is required"), true
	}
	isExact := string(c.Fields()["exact"]) == "true"
	for _, r := range v.Runs() {
		if r.Path == path || !isExact && strings.HasPrefix(r.Path, path+"/") {
			r.Delete(now, "path_batch_delete")
			deleted++
		}
	}
	body := object{"path": path, "deleted_count": deleted, "errors": nil}
	if v.Release() != Gen07 {
		body["message"] = fmt.Sprintf("Moved %d runs to recycle bin", deleted)
	}
	return demoviewer.OK(body), true
}
