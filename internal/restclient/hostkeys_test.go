package restclient

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var someKey = HostKey{Host: "h", Port: 22, KeyType: "ssh-ed25519", Fingerprint: "SHA256:Au", PublicKey: "ssh-ed25519 AAAA comment", Reason: "changed"}

func TestHostKeys_AcceptListRemove(t *testing.T) {
	for _, version := range []string{"0.6.0", "0.7.2"} {
		v := newViewer(t, version)
		v.on("POST /api/remote/known-hosts/accept", jsonAnswer(`{"ok":true}`))
		v.on("POST /api/remote/known-hosts/remove", jsonAnswer(`{"ok":true,"changed":true}`))
		v.on("GET /api/remote/known-hosts/list", jsonAnswer(
			`{"entries":[{"host":"h","port":22,"known_hosts_host":"[h]:22","key_type":"ssh-ed25519","key_base64":"AAAA","fingerprint_sha256":"SHA256:Au"}]}`))
		c := v.client(t)
		if err := c.AcceptHostKey(t.Context(), someKey); err != nil {
			t.Fatal(err)
		}
		keys, err := c.HostKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []HostKey{{Host: "h", Port: 22, KnownHostsHost: "[h]:22", KeyType: "ssh-ed25519", Fingerprint: "SHA256:Au", PublicKey: "ssh-ed25519 AAAA"}}
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Error(diff)
		}
		if removed, err := c.RemoveHostKey(t.Context(), "h", 22, "ssh-ed25519"); err != nil || !removed {
			t.Errorf("removed: %t, %v", removed, err)
		}
		if got := v.requests()[0].Body; got != `{"host":"h","port":22,"key_type":"ssh-ed25519","public_key":"ssh-ed25519 AAAA comment","fingerprint_sha256":"SHA256:Au"}` {
			t.Errorf("accept sent %s", got)
		}
	}
}

func TestHostKeys_InvalidKeysAreNotSent(t *testing.T) {
	v := newViewer(t, "0.6.0")
	c := v.client(t)
	for _, tt := range []struct {
		field  string
		change func(*HostKey)
	}{
		{"host", func(k *HostKey) { k.Host = "" }},
		{"host", func(k *HostKey) { k.Host = "a,b" }},
		{"host", func(k *HostKey) { k.Host = "a b" }},
		{"port", func(k *HostKey) { k.Port = 0 }},
		{"port", func(k *HostKey) { k.Port = 65536 }},
		{"key_type", func(k *HostKey) { k.KeyType = "a b" }},
		{"fingerprint_sha256", func(k *HostKey) { k.Fingerprint = "" }},
		{"public_key", func(k *HostKey) { k.PublicKey = "ssh-ed25519 AAAA\nh ssh-rsa BBBB" }},
		{"public_key", func(k *HostKey) { k.PublicKey = strings.Repeat("a", 4097) }},
	} {
		key := someKey
		tt.change(&key)
		if e, ok := errors.AsType[*IDError](c.AcceptHostKey(t.Context(), key)); !ok || e.Field != tt.field {
			t.Errorf("got %v, want a complaint about %s", e, tt.field)
		}
	}
	if _, err := c.RemoveHostKey(t.Context(), "h", -1, "t"); err == nil {
		t.Error("a negative port was accepted")
	}
	if got := v.requests(); len(got) != 0 {
		t.Errorf("sent upstream: %+v", got)
	}
}

func TestHostKeys_Failures(t *testing.T) {
	v := newViewer(t, "0.7.2")
	c := v.client(t)
	v.on("POST /api/remote/known-hosts/accept", answer(400, "application/json", []byte(`{"detail":"fingerprint_sha256 does not match public_key"}`)))
	wantKind(t, c.AcceptHostKey(t.Context(), someKey), KindBadRequest)
	v.on("POST /api/remote/known-hosts/accept", jsonAnswer(`{"ok":false}`))
	wantKind(t, c.AcceptHostKey(t.Context(), someKey), KindServer)
	v.on("POST /api/remote/known-hosts/remove", jsonAnswer(`{"ok":true,"changed":false}`))
	if removed, err := c.RemoveHostKey(t.Context(), "h", 22, "ssh-rsa"); err != nil || removed {
		t.Errorf("removed: %t, %v", removed, err)
	}
	old := newViewer(t, "0.5.3")
	for _, call := range []func(context.Context, *Client) error{
		func(ctx context.Context, c *Client) error { return c.AcceptHostKey(ctx, someKey) },
		func(ctx context.Context, c *Client) error { _, err := c.HostKeys(ctx); return err },
	} {
		if e := typed(t, call(t.Context(), old.client(t)), KindUnsupported); !strings.Contains(e.Alternative, "any host key") {
			t.Errorf("%+v", e)
		}
	}
}
