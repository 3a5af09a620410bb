package demotest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
)

// settings is the state of a Viewer's process.
type settings struct {
	hostKeys []hostKey
	ssh      []object // saved SSH connections
}

// hostKey is an accepted SSH host key.
type hostKey struct {
	Host        string `json:"host"`
	Port        int    `json:"port"`
	KnownHost   string `json:"known_hosts_host"`
	Type        string `json:"key_type"`
	Key         string `json:"key_base64"`
	Fingerprint string `json:"fingerprint_sha256"`
}

// portOf returns the port in a body; the default is 22.
func portOf(c *call) int {
	port, err := strconv.Atoi(strings.Trim(string(c.Fields()["port"]), `"`))
	if err != nil {
		return 22
	}
	return port
}

// connect is POST /api/remote/connect, and viewer/start, which connects too: the demo has
// no SSH server, so every connection is refused.
func connect(v *Viewer, c *call) (answer, bool) {
	if c.Fields().Text("host") == "" {
		return demoviewer.Detail(http.StatusInternalServerError,
			"Connection failed: 400: host and username are required unless saved_server_id resolves them"), true
	}
	what := "Connection failed: "
	if strings.HasSuffix(c.Route, "/start") {
		what = "Failed to start Remote Viewer: "
	}
	host, port := c.Fields().Text("host"), portOf(c)
	if v.Release() == Gen07 { // the text of the release's SSH library
		what += fmt.Sprintf("ssh: connect to host %s port %d: Connection refused", host, port)
	} else {
		what += fmt.Sprintf("[Errno None] Unable to connect to port %d on %s", port, host)
	}
	return demoviewer.Detail(http.StatusInternalServerError, what), true
}

// listHostKeys is GET /api/remote/known-hosts/list.
func listHostKeys(v *Viewer, _ *call) (answer, bool) {
	return demoviewer.OK(object{"entries": append([]hostKey{}, v.settings.hostKeys...)}), true
}

// acceptHostKey is POST /api/remote/known-hosts/accept: it replaces the entry of the same
// host, port and type.
func acceptHostKey(v *Viewer, c *call) (answer, bool) {
	refuse := func(text string) (answer, bool) { return demoviewer.Detail(http.StatusBadRequest, text), true }
	fields, port := c.Fields(), portOf(c)
	kind, rest, _ := strings.Cut(fields.Text("public_key"), " ")
	base64Key, _, _ := strings.Cut(rest, " ") // a comment may follow
	raw, err := base64.StdEncoding.DecodeString(base64Key)
	if err != nil {
		return refuse("Invalid public_key: Invalid base64 public key")
	}
	sum := sha256.Sum256(raw)
	key := hostKey{
		Host: fields.Text("host"), Port: port, KnownHost: fields.Text("host"), Type: kind, Key: base64Key,
		Fingerprint: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]),
	}
	if port != 22 {
		key.KnownHost = fmt.Sprintf("[%s]:%d", key.Host, port)
	}
	if key.Type != fields.Text("key_type") {
		return refuse("key_type does not match public_key")
	}
	if key.Fingerprint != fields.Text("fingerprint_sha256") {
		return refuse("fingerprint_sha256 does not match public_key")
	}
	v.settings.dropHostKey(key.Host, key.Port, key.Type)
	v.settings.hostKeys = append(v.settings.hostKeys, key)
	return demoviewer.OK(object{"ok": true}), true
}

// removeHostKey is POST /api/remote/known-hosts/remove.
func removeHostKey(v *Viewer, c *call) (answer, bool) {
	changed := v.settings.dropHostKey(c.Fields().Text("host"), portOf(c), c.Fields().Text("key_type"))
	return demoviewer.OK(object{"ok": true, "changed": changed}), true
}

// dropHostKey removes a host key and reports whether there was one.
func (s *settings) dropHostKey(host string, port int, kind string) bool {
	before := len(s.hostKeys)
	s.hostKeys = slices.DeleteFunc(s.hostKeys, func(k hostKey) bool {
		return k.Host == host && k.Port == port && k.Type == kind
	})
	return len(s.hostKeys) < before
}

// sshKey returns the key of a saved connection, host first, unlike a connection id.
func sshKey(conn object) string {
	port := conn["port"]
	if port == nil {
		port = 22
	}
	return fmt.Sprintf("%v:%v@%v", conn["host"], port, conn["username"])
}

// listSSH is GET /api/config/ssh_connections: secrets appear only as flags.
func listSSH(v *Viewer, _ *call) (answer, bool) {
	isNew := v.Release() == Gen07
	items := []object{}
	for _, conn := range v.settings.ssh {
		item := maps.Clone(conn)
		for _, secret := range []string{"password", "private_key", "passphrase"} {
			if isNew || secret != "passphrase" {
				item["has_"+secret] = conn[secret] != nil && conn[secret] != ""
			}
			delete(item, secret)
		}
		for from, to := range map[string]string{"auth_method": "authMethod", "private_key_path": "privateKeyPath"} {
			if value, has := item[from]; has && isNew {
				delete(item, from)
				item[to] = value
			}
		}
		item["key"] = sshKey(conn)
		items = append(items, item)
	}
	return demoviewer.OK(object{"connections": items}), true
}

// saveSSH is POST /api/config/ssh_connections. Secrets are stored only on request.
func saveSSH(v *Viewer, c *call) (answer, bool) {
	var conn object
	if err := json.Unmarshal(c.Body, &conn); err != nil {
		return demoviewer.Detail(http.StatusBadRequest, "Invalid connection"), true
	}
	if conn["remember_password"] != true {
		delete(conn, "password")
		delete(conn, "private_key")
		delete(conn, "passphrase")
	}
	v.settings.dropSSH(sshKey(conn))
	v.settings.ssh = append(v.settings.ssh, conn)
	return demoviewer.OK(object{"ok": true, "message": "SSH connection saved"}), true
}

// dropSSH removes a saved connection.
func (s *settings) dropSSH(key string) {
	s.ssh = slices.DeleteFunc(s.ssh, func(conn object) bool { return sshKey(conn) == key })
}

// deleteSSH is DELETE /api/config/ssh_connections/{key}: 200 even for an unknown key.
func deleteSSH(v *Viewer, c *call) (answer, bool) {
	v.settings.dropSSH(c.Params["key"])
	return demoviewer.OK(object{"ok": true, "message": "SSH connection removed"}), true
}
