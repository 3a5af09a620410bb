package restclient

import (
	"cmp"
	"context"
	"strings"
	"unicode"
)

// From 0.6 on, a Viewer connects only to hosts whose keys it knows. These calls read and
// change its known_hosts file; none contacts an SSH server.

// AcceptHostKey adds a known key, replacing an earlier one of the same host, port and type.
// It needs host, port, type, key and fingerprint as in KindHostKey; a person must check
// that the fingerprint is the server's.
//
//viewer:operation POST /api/remote/known-hosts/accept 0.6 0.7
func (c *Client) AcceptHostKey(ctx context.Context, key HostKey) error {
	err := cmp.Or(
		checkHostKeyID(key.Host, key.Port, key.KeyType),
		checkNoSpaces("fingerprint_sha256", key.Fingerprint),
		checkText("public_key", key.PublicKey),
	)
	if err != nil {
		return err
	}
	return c.acknowledge(ctx, call{cap: capAcceptHostKey, body: struct {
		hostKeyID
		PublicKey   string `json:"public_key"`
		Fingerprint string `json:"fingerprint_sha256"`
	}{hostKeyID{key.Host, key.Port, key.KeyType}, key.PublicKey, key.Fingerprint}})
}

// HostKeys lists the known keys. Their Reason is empty.
//
//viewer:operation GET /api/remote/known-hosts/list 0.6 0.7
func (c *Client) HostKeys(ctx context.Context) ([]HostKey, error) {
	answer, err := readJSON[struct {
		Entries []struct {
			HostKey
			Key string `json:"key_base64"`
		} `json:"entries"`
	}](ctx, c, call{cap: capHostKeys})
	if err != nil {
		return nil, err
	}
	keys := make([]HostKey, 0, len(answer.Entries))
	for _, e := range answer.Entries {
		e.PublicKey = e.KeyType + " " + e.Key
		keys = append(keys, e.HostKey)
	}
	return keys, nil
}

// RemoveHostKey removes the key of a host, port and type, and reports whether there was
// one. Open connections stay.
//
//viewer:operation POST /api/remote/known-hosts/remove 0.6 0.7
func (c *Client) RemoveHostKey(ctx context.Context, host string, port int, keyType string) (removed bool, err error) {
	if err := checkHostKeyID(host, port, keyType); err != nil {
		return false, err
	}
	q := call{cap: capRemoveHostKey, body: hostKeyID{host, port, keyType}}
	answer, err := doJSON[struct {
		acknowledgement
		Changed bool `json:"changed"`
	}](ctx, c, q)
	switch {
	case err != nil:
		return false, err
	case !answer.OK:
		return false, c.refused(q, KindServer, answer.Message.Value)
	}
	return answer.Changed, nil
}

// hostKeyID identifies a known key.
type hostKeyID struct {
	Host    string `json:"host"`
	Port    int    `json:"port"`
	KeyType string `json:"key_type"`
}

func checkHostKeyID(host string, port int, keyType string) error {
	return cmp.Or(checkNoSpaces("host", host), checkPort("port", port), checkNoSpaces("key_type", keyType))
}

// checkNoSpaces refuses text that would become two words in the known_hosts file.
func checkNoSpaces(field, text string) error {
	if err := checkText(field, text); err != nil {
		return err
	}
	if strings.ContainsFunc(text, unicode.IsSpace) || strings.Contains(text, ",") {
		return &IDError{Field: field, Reason: "must not hold spaces or commas"}
	}
	return nil
}
