package restclient

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSavedConnections_DecodeAllGenerationsWithoutSecrets(t *testing.T) {
	yes := true
	base := SavedConnection{
		ID: known("h:22@u"), Host: known("h"), Port: Int{Value: 22, Known: true}, Username: known("u"), Name: known("gpu"),
		AuthMethod: known("key"), HasPassword: true,
	}
	later := base
	later.HasPassphrase = &yes
	for _, tt := range []struct {
		version, body string
		want          SavedConnection
	}{
		{"0.5.3", `{"connections":[{"host":"h","port":22,"username":"u","name":"gpu","remember_password":true,"auth_method":"key",
 "private_key_path":"/k/canary","key":"h:22@u","has_password":true,"has_private_key":false,"password":"canary"}]}`, base},
		{"0.7.2", `{"connections":[{"host":"h","port":22,"username":"u","name":"gpu","authMethod":"key","privateKeyPath":"/k/canary",
 "key":"h:22@u","has_password":true,"has_private_key":false,"has_passphrase":true}]}`, later},
	} {
		t.Run(tt.version, func(t *testing.T) {
			v := newViewer(t, tt.version)
			v.on("GET /api/config/ssh_connections", jsonAnswer(tt.body))
			got, err := v.client(t).SavedConnections(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]SavedConnection{tt.want}, got); diff != "" {
				t.Error(diff)
			}
			wantNoCanary(t, got)
		})
	}
}

func TestSavedConnections_ErrorContainsNoSecret(t *testing.T) {
	v := newViewer(t, "0.5.3")
	v.on("GET /api/config/ssh_connections", jsonAnswer(`{"connections":[{"has_password":"canary"}]}`))
	_, err := v.client(t).SavedConnections(t.Context())
	wantKind(t, err, KindMalformed)
	wantNoCanary(t, err)
}

func TestDeleteSaved(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on("DELETE /api/config/ssh_connections/h:22@u", jsonAnswer(`{"ok":true,"message":"SSH connection removed"}`))
	c := v.client(t)
	id := Endpoint{Host: "h", Port: 22, Username: "u"}.SavedID()
	if err := c.DeleteSaved(t.Context(), id); err != nil {
		t.Error(err)
	}
	if err := c.DeleteSaved(t.Context(), "a/details"); err == nil {
		t.Error("a key that is a path was accepted")
	}
	v.on("DELETE /api/config/ssh_connections/h:22@u", jsonAnswer(`{"ok":false,"message":"no"}`))
	wantKind(t, c.DeleteSaved(t.Context(), id), KindServer)
}
