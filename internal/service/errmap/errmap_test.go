package errmap

import (
	"strings"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

func TestEveryKindHasAMapping(t *testing.T) {
	for kind := restclient.Kind(1); !strings.HasPrefix(kind.String(), "kind "); kind++ {
		if _, ok := mappings[kind]; !ok && kind != restclient.KindCanceled {
			t.Errorf("no row for %v", kind)
		}
	}
}
