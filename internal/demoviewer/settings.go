package demoviewer

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// settings is what the Viewer keeps besides runs.
type settings struct {
	hostKeys []hostKey
	ssh      []map[string]any // saved SSH connections
}

// dropHostKey removes a host key and tells whether there was one.
func (s *settings) dropHostKey(host string, port int, kind string) bool {
	before := len(s.hostKeys)
	s.hostKeys = slices.DeleteFunc(s.hostKeys, func(k hostKey) bool {
		return k.Host == host && k.Port == port && k.Type == kind
	})
	return len(s.hostKeys) < before
}

// health is GET /api/health. 0.5.3 calls itself 0.5.2.
func health(v *Viewer, c *call) answer {
	body := v.repeat(c)
	body["storage"] = v.root
	body["cache"] = map[string]any{
		"enabled": true, "type": "incremental", "hit_rate": fmt.Sprintf("%.1f%%", v.cache.hitRate()*100), "hits": v.cache.hits,
		"misses": v.cache.misses, "incremental_updates": v.cache.updates, "size": len(v.cache.sizes), "max_size": 100,
	}
	return ok(body)
}

// config is GET /api/config.
func config(v *Viewer, c *call) answer {
	body := v.repeat(c)
	body["storage"] = v.root
	if v.rootSet || v.gen.sqlite {
		body["user_root_dir"] = v.root
	}
	return ok(body)
}

// repeat decodes the captured answer of a route, to be changed.
func (v *Viewer) repeat(c *call) map[string]any {
	var body map[string]any
	if err := json.Unmarshal(v.gen.fallback[c.route.name].Body, &body); err != nil {
		panic("demoviewer: captured " + c.route.name + ": " + err.Error())
	}
	return body
}

// setRoot is POST /api/config/user_root_dir. An empty path means the working directory, in every release.
func setRoot(v *Viewer, _ *call, fields object) answer {
	root := strings.TrimRight(text(fields, "path"), "/")
	if root == "" {
		root = workDir
	}
	kind := "permission"
	if v.gen.sqlite {
		kind = "filesystem"
	}
	if below(root, "/proc") || below(root, "/sys") || strings.ContainsRune(root, 0) {
		return *badRequest("Invalid path or " + kind + " error: [Errno 2] No such file or directory: '" + root + "'")
	}
	v.root, v.rootSet = root, true
	return ok(map[string]any{"ok": true, "user_root_dir": root, "storage": root})
}

// storageStats is GET /api/storage/stats: the captured archive, and the runs as they are now. 0.6 counts only runs of the
// old folder layout, which the demo has none of, so its captured numbers stay.
func storageStats(v *Viewer, c *call) answer {
	body := v.repeat(c)
	body["storage_root"] = v.root
	if !v.gen.sqlite {
		return ok(body)
	}
	runs, size, folders := v.gen.list(v.store(), false), int64(0), map[string]struct{}{}
	for _, r := range runs {
		size += r.events.size(v.clock())
		for _, raw := range r.files {
			size += int64(len(raw))
		}
		folders[v.gen.folder(r)] = struct{}{}
	}
	body["runs"] = map[string]any{
		"size_bytes": size, "size_human": humanSize(size), "paths_count": len(folders), "runs_count": len(runs),
	}
	total := size + sizeIn(body, "archive") + sizeIn(body, "index")
	body["total"] = map[string]any{"size_bytes": total, "size_human": humanSize(total)}
	return ok(body)
}

// sizeIn reads size_bytes of a part.
func sizeIn(body map[string]any, part string) int64 {
	fields, _ := body[part].(map[string]any)
	size, _ := fields["size_bytes"].(float64)
	return int64(size)
}

// humanSize is the Viewer's way to show a size.
func humanSize(size int64) string {
	x := float64(size)
	for _, unit := range []string{"B", "KB", "MB", "GB"} {
		if x < 1024 {
			return fmt.Sprintf("%.2f %s", x, unit)
		}
		x /= 1024
	}
	return fmt.Sprintf("%.2f TB", x)
}

// systemMonitor is GET /api/system/monitor: the captured machine at the current time.
func systemMonitor(v *Viewer, c *call) answer {
	body := v.repeat(c)
	body["ts"] = pyFloat(v.now())
	return ok(body)
}

// sshKey is the key of a saved connection, host first, the reverse of a connection id.
func sshKey(conn map[string]any) string {
	port := conn["port"]
	if port == nil {
		port = 22
	}
	return fmt.Sprintf("%v:%v@%v", conn["host"], port, conn["username"])
}

// listSSH is GET /api/config/ssh_connections: secrets are shown as flags only.
func listSSH(v *Viewer, _ *call) answer {
	items := []map[string]any{}
	for _, conn := range v.settings.ssh {
		item := maps.Clone(conn)
		for _, secret := range []string{"password", "private_key", "passphrase"} {
			if v.gen.sqlite || secret != "passphrase" {
				item["has_"+secret] = conn[secret] != nil && conn[secret] != ""
			}
			delete(item, secret)
		}
		if v.gen.sqlite {
			rename(item, "auth_method", "authMethod")
			rename(item, "private_key_path", "privateKeyPath")
		}
		item["key"] = sshKey(conn)
		items = append(items, item)
	}
	return ok(map[string]any{"connections": items})
}

// rename moves a field.
func rename(item map[string]any, from, to string) {
	if value, has := item[from]; has {
		delete(item, from)
		item[to] = value
	}
}

// saveSSH is POST /api/config/ssh_connections. Secrets are kept only when the caller asks to remember them.
func saveSSH(v *Viewer, c *call) answer {
	if _, bad := c.object("dict_type"); bad != nil {
		return *bad
	}
	var conn map[string]any
	if err := json.Unmarshal(c.body, &conn); err != nil {
		return *badRequest("Invalid connection")
	}
	if conn["remember_password"] != true {
		delete(conn, "password")
		delete(conn, "private_key")
		delete(conn, "passphrase")
	}
	v.settings.dropSSH(sshKey(conn))
	v.settings.ssh = append(v.settings.ssh, conn)
	return ok(map[string]any{"ok": true, "message": "SSH connection saved"})
}

// dropSSH removes a saved connection.
func (s *settings) dropSSH(key string) {
	s.ssh = slices.DeleteFunc(s.ssh, func(conn map[string]any) bool { return sshKey(conn) == key })
}

// deleteSSH is DELETE /api/config/ssh_connections/{key}: 200 for an unknown key too.
func deleteSSH(v *Viewer, c *call) answer {
	v.settings.dropSSH(c.params["key"])
	return ok(map[string]any{"ok": true, "message": "SSH connection removed"})
}

// refuseDetails stands for a route that on real Viewers returns secrets in clear; nothing may call it.
func refuseDetails(*Viewer, *call) answer {
	return detail(http.StatusNotFound, "Connection not found")
}
