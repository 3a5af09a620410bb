package demoviewer

import (
	"encoding/json"
	"strings"
)

// health is GET /api/health. 0.5.3 reports 0.5.2.
func health(v *Viewer, c *Call) Answer {
	body := v.repeat(c)
	body["storage"] = v.root
	return OK(body)
}

// config is GET /api/config.
func config(v *Viewer, c *Call) Answer {
	body := v.repeat(c)
	body["storage"] = v.root
	if v.rootSet || v.gen.sqlite {
		body["user_root_dir"] = v.root
	}
	return OK(body)
}

// repeat decodes the captured answer of a route for modification.
func (v *Viewer) repeat(c *Call) map[string]any {
	var body map[string]any
	if err := json.Unmarshal(v.gen.fallbacks[c.Route].Body, &body); err != nil {
		panic("demoviewer: captured " + c.Route + ": " + err.Error())
	}
	return body
}

// setRoot is POST /api/config/user_root_dir. An empty path means the working directory in
// every release.
func setRoot(v *Viewer, c *Call) Answer {
	root := strings.TrimRight(c.Fields().Text("path"), "/")
	if root == "" {
		root = workDir
	}
	kind := "permission"
	if v.gen.sqlite {
		kind = "filesystem"
	}
	if below(root, "/proc") || below(root, "/sys") || strings.ContainsRune(root, 0) {
		return badRequest("Invalid path or " + kind + " error: [Errno 2] No such file or directory: '" + root + "'")
	}
	v.root, v.rootSet = root, true
	return OK(map[string]any{"ok": true, "user_root_dir": root, "storage": root})
}

// storageStats is GET /api/storage/stats: the captured sizes with the current number of
// runs.
func storageStats(v *Viewer, c *Call) Answer {
	body := v.repeat(c)
	body["storage_root"] = v.root
	if runs, counted := body["runs"].(map[string]any); counted && v.gen.sqlite {
		runs["runs_count"] = len(v.Runs())
	}
	return OK(body)
}

// systemMonitor is GET /api/system/monitor: the captured machine at the current time.
func systemMonitor(v *Viewer, c *Call) Answer {
	body := v.repeat(c)
	body["ts"] = pyFloat(v.now())
	return OK(body)
}
