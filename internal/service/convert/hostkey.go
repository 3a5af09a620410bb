package convert

import (
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// HostKey converts a key of an SSH server.
func HostKey(k *restclient.HostKey) *runicornapiv1.HostKey {
	return &runicornapiv1.HostKey{
		Host: Text(k.Host), Port: Clamp32(int64(k.Port)), KeyType: Text(k.KeyType),
		PublicKey: Text(k.PublicKey), FingerprintSha256: Text(k.Fingerprint),
		KnownHostsHost: Text(k.KnownHostsHost), ExpectedFingerprintSha256: Text(k.ExpectedFingerprint),
	}
}
