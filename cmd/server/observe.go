package main

import (
	"cmp"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
)

// namespace is the prefix of the server's own metrics.
const namespace = "runicorn_grpc"

// callBuckets are histogram buckets in seconds, from a response out of memory to a heavy
// table.
var callBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120}

// newLogger returns the logger of the process.
func newLogger(cfg *Config, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		return nil, badFlag("log-level", "%w", err)
	}
	options := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(traceHandler{slog.NewJSONHandler(w, options)}), nil
	}
	return slog.New(traceHandler{slog.NewTextHandler(w, options)}), nil
}

// metrics are the metrics of the process, in a separate registry. Labels have a bounded
// set of values: never an id, path or text of a caller.
type metrics struct {
	registry *prometheus.Registry
	calls    *grpcprom.ServerMetrics
	errors   *prometheus.CounterVec
	panics   prometheus.Counter
	viewerUp *prometheus.GaugeVec

	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	received *prometheus.CounterVec
	lag      prometheus.Histogram
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		calls:    grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram(grpcprom.WithHistogramBuckets(callBuckets))),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "errors_total", Help: "Calls that ended in an error, by its reason.",
		}, []string{"reason"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "panics_total", Help: "Calls that ended in a panic.",
		}),
		viewerUp: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Name: "viewer_up", Help: "1 if the Viewer answered its last health check, else 0.",
		}, []string{"viewer"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: "upstream", Name: "requests_total", Help: "Requests to Viewers, by outcome.",
		}, []string{"viewer", "method", "route", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: "upstream", Name: "request_duration_seconds",
			Help: "Time of requests to Viewers, to the end of the body.", Buckets: callBuckets,
		}, []string{"viewer", "method", "route"}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: "upstream", Name: "received_bytes_total", Help: "Bytes of bodies read from Viewers.",
		}, []string{"viewer", "method", "route"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: "tail", Name: "newest_point_lag_seconds",
			Help: "Age of the newest point of live batches when they are first sent, by the clock of the training.", Buckets: callBuckets,
		}),
	}
	m.registry.MustRegister(m.calls, m.errors, m.panics, m.viewerUp, m.requests, m.duration, m.received, m.lag,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.gauge("", "build_info", "What was built; always 1.",
		prometheus.Labels{"version": buildVersion(), "go_version": goVersion()}, func() float64 { return 1 })
	return m
}

// gauge adds a metric that is read when the metrics are.
func (m *metrics) gauge(subsystem, name, help string, labels prometheus.Labels, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, ConstLabels: labels,
	}, read))
}

// counter is gauge for a number that only grows.
func (m *metrics) counter(subsystem, name, help string, labels prometheus.Labels, read func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, ConstLabels: labels,
	}, read))
}

// addAudit adds metrics of the audit log, if there is one.
func (m *metrics) addAudit(a *audit) {
	if a == nil {
		return
	}
	m.gauge("audit", "up", "1 if the audit log could be written last, else 0.", nil, func() float64 {
		if _, err := a.file.State(); err != nil {
			return 0
		}
		return 1
	})
	m.counter("audit", "lost_lines_total", "Lines of the audit log that could not be written, and were not kept.", nil,
		func() float64 { lost, _ := a.file.State(); return float64(lost) })
}

// addCache adds metrics of the cache of parsed runs.
func (m *metrics) addCache(cache *runcache.Cache) {
	m.gauge("", "cache_bytes", "Memory of parsed runs, estimated.", nil, func() float64 { return float64(cache.Stats().Bytes) })
	m.gauge("", "cache_runs", "Parsed runs that are held.", nil, func() float64 { return float64(cache.Stats().Runs) })
}

// addIndex adds metrics of the search index.
func (m *metrics) addIndex(index *search.Index) {
	gauge := func(name, help string, read func(search.Stats) float64) {
		m.gauge("search", name, help, nil, func() float64 { return read(index.Total()) })
	}
	gauge("runs", "Runs that filters, orders and metric names have asked for.", func(s search.Stats) float64 { return float64(s.Runs) })
	gauge("digested_runs", "Those of them that have been read.", func(s search.Stats) float64 { return float64(s.Digested) })
	gauge("waiting_runs", "Runs that wait to be read, or to be read again.", func(s search.Stats) float64 { return float64(s.Waiting) })
	gauge("bytes", "Memory of what is known of runs, estimated.", func(s search.Stats) float64 { return float64(s.Bytes) })
	gauge("oldest_digest_timestamp_seconds", "When the oldest of it was read; 0 if nothing was.", func(s search.Stats) float64 {
		if s.Oldest.IsZero() {
			return 0
		}
		return float64(s.Oldest.UnixMilli()) / 1000
	})
}

// addHub adds metrics of followed runs.
func (m *metrics) addHub(hub *follow.Hub) {
	gauge := func(name, help string, read func(follow.HubStats) float64) {
		m.gauge("tail", name, help, nil, func() float64 { return read(hub.Stats()) })
	}
	counter := func(name, help string, read func(follow.HubStats) float64) {
		m.counter("tail", name, help, nil, func() float64 { return read(hub.Stats()) })
	}
	gauge("followed_runs", "Logs that are followed.", func(s follow.HubStats) float64 { return float64(s.Runs) })
	gauge("subscribers", "Readers of followed logs; a stream has one for each of its runs.", func(s follow.HubStats) float64 { return float64(s.Cursors) })
	gauge("retained_bytes", "Memory of the newest parts of followed logs, estimated.", func(s follow.HubStats) float64 { return float64(s.Bytes) })
	gauge("history_bytes", "Memory of older parts that late readers share, estimated.", func(s follow.HubStats) float64 { return float64(s.HistoryBytes) })
	gauge("stale_seconds", "Time since the last successful poll of the followed log that has waited longest for one.", func(s follow.HubStats) float64 { return s.Stale.Seconds() })
	counter("resets_total", "Followed logs that turned out to be others.", func(s follow.HubStats) float64 { return float64(s.Resets) })
	counter("malformed_lines_total", "Complete lines of followed logs that were no JSON.", func(s follow.HubStats) float64 { return float64(s.MalformedLines) })
}

// addShares adds metrics of the background work for each configured Viewer.
func (m *metrics) addShares(share float64, viewers *fleet.Fleet) {
	m.gauge("", "viewer_share_ratio", "Part of a Viewer's time that background work may take.", nil, func() float64 { return share })
	for _, viewer := range viewers.Configured() {
		labels := prometheus.Labels{"viewer": viewer.Name}
		m.counter("", "viewer_background_seconds_total", "Time of the Viewer that background work has taken: lists, polls, health.", labels,
			func() float64 { spent, _ := viewer.Client.BackgroundTime(); return spent.Seconds() })
		m.gauge("", "viewer_share_used_up", "1 if background work takes all of its share of the Viewer, so that lists and tails are late, else 0.", labels,
			func() float64 {
				if _, usedUp := viewer.Client.BackgroundTime(); usedUp {
					return 1
				}
				return 0
			})
	}
}

// handler serves the metrics.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Observe counts a request to a Viewer. It is called by restclient.
func (m *metrics) Observe(o restclient.Observation) {
	outcome := "ok"
	if o.Kind != 0 {
		outcome = strings.ReplaceAll(o.Kind.String(), " ", "_")
	}
	// Tunneled Viewers share the label of their parent Viewer, so that the number of
	// labels is bounded.
	viewer, _, tunneled := strings.Cut(o.Viewer, ".")
	if tunneled {
		viewer += ".*"
	}
	m.requests.WithLabelValues(viewer, o.Method, o.Route, outcome).Inc()
	m.duration.WithLabelValues(viewer, o.Method, o.Route).Observe(o.Duration.Seconds())
	m.received.WithLabelValues(viewer, o.Method, o.Route).Add(float64(o.Bytes))
}

// buildVersion returns the version of the module, which contains the commit unless the
// build is a release.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return cmp.Or(info.Main.Version, "(devel)")
}

func goVersion() string { return runtime.Version() }
