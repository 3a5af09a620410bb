package viewers

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/errmap"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

const (
	// checkTimeout is how long GetViewer waits before it reports a Viewer as busy.
	checkTimeout = 5 * time.Second
	// listCheckTimeout is how long ListViewers waits for all Viewers.
	listCheckTimeout = time.Second
)

// healthCache holds the last check of each Viewer. The zero value is ready, and safe for
// concurrent use.
type healthCache struct {
	mu    sync.Mutex
	known map[string]*runicornapiv1.Viewer
}

// last returns a copy of the last check of a Viewer.
func (c *healthCache) last(v *fleet.Viewer) *runicornapiv1.Viewer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.known[v.Name]; known != nil {
		return proto.CloneOf(known)
	}
	out := &runicornapiv1.Viewer{
		Viewer: v.Name, Url: v.Client.BaseURL(),
		Origin: runicornapiv1.ViewerOrigin_VIEWER_ORIGIN_CONFIGURED,
		Health: &runicornapiv1.ViewerHealth{},
	}
	if v.Parent != nil {
		out.Origin = runicornapiv1.ViewerOrigin_VIEWER_ORIGIN_TUNNELED
	}
	return out
}

// retain drops the checks of Viewers that ctx may see and that are no longer in viewers.
func (c *healthCache) retain(ctx context.Context, viewers []*fleet.Viewer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.known, func(name string, _ *runicornapiv1.Viewer) bool {
		return fleet.Visible(ctx, name) && !slices.ContainsFunc(viewers, func(v *fleet.Viewer) bool { return v.Name == name })
	})
}

func (c *healthCache) store(viewer *runicornapiv1.Viewer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = make(map[string]*runicornapiv1.Viewer)
	}
	c.known[viewer.GetViewer()] = proto.CloneOf(viewer)
}

// checkAll checks all Viewers in parallel.
func (s *Service) checkAll(ctx context.Context) []*runicornapiv1.Viewer {
	viewers := s.config.Fleet.All(ctx)
	s.healthCache.retain(ctx, viewers)
	out := make([]*runicornapiv1.Viewer, len(viewers))
	var wg sync.WaitGroup
	for i, v := range viewers {
		wg.Go(func() {
			checked, err := fleet.AskWithin(ctx, v, listCheckTimeout, func(ctx context.Context, v *fleet.Viewer) (*runicornapiv1.Viewer, error) {
				viewer := s.check(ctx, v, checkTimeout)
				return viewer, status.ErrorProto(viewer.GetHealth().GetLastError())
			})
			if checked == nil {
				checked = s.unchecked(ctx, v, err)
			}
			checked.IsDefault = s.config.Fleet.IsDefault(ctx, v)
			out[i] = checked
		})
	}
	wg.Wait()
	return out
}

// unchecked returns the last known state of a Viewer without a new check.
func (s *Service) unchecked(ctx context.Context, v *fleet.Viewer, err error) *runicornapiv1.Viewer {
	viewer := s.healthCache.last(v)
	h := viewer.GetHealth()
	h.State, h.CheckTime, h.LastError = stateOf(err), timestamppb.New(time.Now()), errmap.Status(ctx, err).Proto()
	return viewer
}

// check reads the health and the capabilities of a Viewer, for at most timeout. What it
// cannot read is taken from the last check.
func (s *Service) check(ctx context.Context, v *fleet.Viewer, timeout time.Duration) *runicornapiv1.Viewer {
	early, cancel := target.WithMargin(ctx)
	defer cancel()
	busy := v.Client.Busy() // with a call over SSH, which may block it for a minute
	if busy {
		timeout = min(timeout, listCheckTimeout)
	}
	early, stop := context.WithTimeout(early, timeout)
	defer stop()
	viewer := s.healthCache.last(v)
	start := time.Now()
	health, err := v.Client.Health(early)
	latency := time.Since(start)
	var caps *restclient.Capabilities
	if err == nil {
		caps, err = v.Client.Capabilities(early)
	}
	if ctx.Err() != nil {
		return viewer // the caller left, so the error is not the Viewer's
	}
	h := viewer.GetHealth()
	h.State, h.CheckTime = stateOf(err), timestamppb.New(time.Now())
	if err != nil && (busy || v.Client.Busy()) {
		h.State = runicornapiv1.ViewerState_VIEWER_STATE_BUSY
	}
	h.LastError = nil
	if err != nil {
		h.LastError = errmap.Status(ctx, target.TimeoutError(ctx, v.Name, err)).Proto()
	}
	if health != nil {
		viewer.Version, h.StorageBackend = convert.Text(health.Version.Value), backendLabel(health.Backend)
		h.LastSuccessTime, h.Latency = h.GetCheckTime(), durationpb.New(latency)
	}
	if caps != nil {
		viewer.Generation, viewer.Capabilities = caps.Generation, capabilityNames(caps)
	}
	s.healthCache.store(viewer)
	return viewer
}

// capabilityNames returns the names that errors use as well.
func capabilityNames(caps *restclient.Capabilities) []string {
	names := make([]string, 0, len(caps.List()))
	for _, name := range caps.List() {
		names = append(names, string(name))
	}
	return names
}

// stateOf classifies a check. A Viewer that accepts the connection but does not answer is
// busy, not down.
func stateOf(err error) runicornapiv1.ViewerState {
	if err == nil {
		return runicornapiv1.ViewerState_VIEWER_STATE_UP
	}
	if e, ok := errors.AsType[*restclient.Error](err); ok {
		switch e.Kind {
		case restclient.KindTimeout, restclient.KindCanceled, restclient.KindRateLimited:
			return runicornapiv1.ViewerState_VIEWER_STATE_BUSY
		}
	}
	return runicornapiv1.ViewerState_VIEWER_STATE_DOWN
}

// switchRoot changes the storage root of a Viewer, then reads the whole configuration, of
// which the Viewer's answer has only a part.
func switchRoot(ctx context.Context, client *restclient.Client, root string) (*restclient.ViewerConfig, error) {
	switched, err := client.SwitchRoot(ctx, root)
	if refused, ok := errors.AsType[*restclient.IDError](err); ok {
		return nil, apierr.Invalid("config.storage_root", "%s", refused.Reason)
	}
	if err != nil {
		return nil, err
	}
	if config, err := client.Config(ctx); err == nil {
		return config, nil
	}
	return switched, nil // the root was changed, so the rest may be missing
}
