package demoviewer

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// hostKey is an accepted SSH host key.
type hostKey struct {
	Host        string `json:"host"`
	Port        int    `json:"port"`
	KnownHost   string `json:"known_hosts_host"`
	Type        string `json:"key_type"`
	Key         string `json:"key_base64"`
	Fingerprint string `json:"fingerprint_sha256"`
}

// sshTarget reads the fields that connect and viewer/start share. 0.7 reports a missing host only when it connects.
func (v *Viewer) sshTarget(c *call, names ...string) (host string, port int, bad *answer) {
	fields, bad := c.object("model_attributes_type")
	if bad != nil {
		return "", 0, bad
	}
	if !v.gen.sqlite {
		names = append([]string{"host", "username"}, names...)
	}
	if bad = c.required(fields, names...); bad != nil {
		return "", 0, bad
	}
	if port, bad = portOf(fields["port"]); bad != nil {
		return "", 0, bad
	}
	return text(fields, "host"), port, nil
}

// portOf reads a port field; absent means 22.
func portOf(raw json.RawMessage) (int, *answer) {
	if raw == nil {
		return 22, nil
	}
	var port int
	if err := json.Unmarshal(raw, &port); err == nil {
		return port, nil
	}
	var shown string
	if err := json.Unmarshal(raw, &shown); err != nil {
		return 0, unprocessable(problem{
			Type: "int_type", Loc: []any{"body", "port"}, Msg: "Input should be a valid integer", Input: raw,
		})
	}
	return intText(shown, "body", "port")
}

// connect is POST /api/remote/connect: behind the demo there is no SSH server, so every connection is refused.
func connect(v *Viewer, c *call) answer {
	host, port, bad := v.sshTarget(c)
	switch {
	case bad != nil:
		return *bad
	case host == "":
		return detail(http.StatusInternalServerError,
			"Connection failed: 400: host and username are required unless saved_server_id resolves them")
	}
	return detail(http.StatusInternalServerError, "Connection failed: "+v.refused(host, port))
}

// startViewer is POST /api/remote/viewer/start, which connects by itself.
func startViewer(v *Viewer, c *call) answer {
	host, port, bad := v.sshTarget(c, "remote_root")
	if bad != nil {
		return *bad
	}
	return detail(http.StatusInternalServerError, "Failed to start Remote Viewer: "+v.refused(host, port))
}

// refused is how the release's SSH library words a refused connection.
func (v *Viewer) refused(host string, port int) string {
	if v.gen.sqlite {
		return fmt.Sprintf("ssh: connect to host %s port %d: Connection refused", host, port)
	}
	return fmt.Sprintf("[Errno None] Unable to connect to port %d on %s", port, host)
}

// disconnect is POST /api/remote/disconnect: an unknown connection is a 200 that says ok:false.
func disconnect(_ *Viewer, _ *call, fields object) answer {
	for _, name := range []string{"host", "username"} {
		if fields[name] == nil {
			return *unprocessable(missing(nil, "body", name))
		}
	}
	return ok(map[string]any{"ok": false, "message": "Connection not found"})
}

// stopViewer is POST /api/remote/viewer/stop.
func stopViewer(_ *Viewer, _ *call, fields object) answer {
	if fields["session_id"] == nil {
		return *unprocessable(missing(nil, "body", "session_id"))
	}
	return detail(http.StatusNotFound, "Session not found: "+text(fields, "session_id"))
}

// viewerStatus is GET /api/remote/viewer/status/{session_id}.
func viewerStatus(_ *Viewer, c *call) answer {
	return detail(http.StatusNotFound, "Session not found: "+c.params["session_id"])
}

// readRemote stands for the routes that read over a connection: none is ever open.
func readRemote(_ *Viewer, c *call) answer {
	var problems []problem
	for _, name := range []string{"connection_id", "path"} {
		needed := name == "connection_id" || strings.HasSuffix(c.route.template, "/fs/exists")
		if needed && !c.query.Has(name) {
			problems = append(problems, missing(nil, "query", name))
		}
	}
	if problems != nil {
		return *unprocessable(problems...)
	}
	id := c.query.Get("connection_id")
	user, address, hasUser := strings.Cut(id, "@")
	_, port, hasPort := strings.Cut(address, ":")
	if !hasUser || !hasPort || user == "" || port == "" {
		return *badRequest("Invalid connection_id format: " + id)
	}
	return detail(http.StatusNotFound, "Connection not found or inactive: "+id)
}

// listHostKeys is GET /api/remote/known-hosts/list.
func listHostKeys(v *Viewer, _ *call) answer {
	return ok(map[string]any{"entries": append([]hostKey{}, v.settings.hostKeys...)})
}

// acceptHostKey is POST /api/remote/known-hosts/accept: it replaces the entry of that host, port and type.
func acceptHostKey(v *Viewer, _ *call, fields object) answer {
	port, bad := portOf(fields["port"])
	if bad != nil {
		return *bad
	}
	parts := strings.Fields(text(fields, "public_key"))
	if len(parts) < 2 {
		return *badRequest("Invalid public_key")
	}
	raw, err := base64.StdEncoding.DecodeString(parts[1])
	if err != nil {
		return *badRequest("Invalid public_key: Invalid base64 public key")
	}
	sum := sha256.Sum256(raw)
	key := hostKey{
		Host: text(fields, "host"), Port: port, KnownHost: text(fields, "host"), Type: parts[0], Key: parts[1],
		Fingerprint: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]),
	}
	if port != 22 {
		key.KnownHost = fmt.Sprintf("[%s]:%d", key.Host, port)
	}
	switch {
	case strings.TrimSpace(key.Host) == "" || strings.Contains(key.Host, ","):
		return *badRequest("Invalid host")
	case key.Type != text(fields, "key_type"):
		return *badRequest("key_type does not match public_key")
	case key.Fingerprint != text(fields, "fingerprint_sha256"):
		return *badRequest("fingerprint_sha256 does not match public_key")
	}
	v.settings.dropHostKey(key.Host, key.Port, key.Type)
	v.settings.hostKeys = append(v.settings.hostKeys, key)
	return ok(map[string]any{"ok": true})
}

// removeHostKey is POST /api/remote/known-hosts/remove.
func removeHostKey(v *Viewer, _ *call, fields object) answer {
	port, bad := portOf(fields["port"])
	if bad != nil {
		return *bad
	}
	changed := v.settings.dropHostKey(text(fields, "host"), port, text(fields, "key_type"))
	return ok(map[string]any{"ok": true, "changed": changed})
}
