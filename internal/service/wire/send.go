package wire

import (
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/runicorn-grpc/runicorn-grpc/internal/service/freshstack"
)

// SendOnFreshStack sends a message that is encoded on the stack of a new goroutine.
func SendOnFreshStack(stream grpc.ServerStream, m proto.Message) error {
	var e Encoded
	err := freshstack.Run(func() (err error) {
		e.own, err = proto.Marshal(m)
		return err
	})
	if err != nil {
		return err
	}
	return stream.SendMsg(&e)
}
