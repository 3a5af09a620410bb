package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// started are the sessions that this server has started and not stopped.
type started struct {
	mu       sync.Mutex
	sessions []startedSession
}

type startedSession struct {
	parent *Viewer
	id     string
}

func (s *started) add(parent *Viewer, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions = append(s.sessions, startedSession{parent, id})
}

func (s *started) remove(parent *Viewer, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions = slices.DeleteFunc(s.sessions, func(other startedSession) bool { return other == startedSession{parent, id} })
}

// StopStarted stops the remote Viewers that this server has started, sequentially for each
// parent, and returns the errors.
func (f *Fleet) StopStarted(ctx context.Context) error {
	f.started.mu.Lock()
	sessions := slices.Clone(f.started.sessions)
	f.started.mu.Unlock()
	errs := make([]error, len(sessions))
	var stopping sync.WaitGroup
	for i, s := range sessions {
		stopping.Go(func() {
			err := s.parent.Client.StopViewer(ctx, s.id)
			if restclient.IsKind(err, restclient.KindNotFound) {
				err = nil // it has ended by itself
			}
			if err != nil {
				errs[i] = fmt.Errorf("stop the remote viewer %s.%s: %w", s.parent.Name, s.id, err)
				return
			}
			f.Remove(s.parent, s.id)
		})
	}
	stopping.Wait()
	return errors.Join(errs...)
}
