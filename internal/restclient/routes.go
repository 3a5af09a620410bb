package restclient

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Capability names one route that a Viewer may have. Only the table below maps routes to
// capabilities.
type Capability string

// class is the cost class of a call, which determines its slots.
type class uint8

const (
	light   class = iota + 1 // milliseconds
	heavy                    // may block the Viewer's only event loop for seconds
	stream                   // its reader determines how long the body takes
	archive                  // a stream that is heavy until its first byte
	ssh                      // over SSH; may block the event loop until its peer answers
	socket                   // a WebSocket: light, but open for hours, so it takes no slot; see logStreams
)

// route is one row of the table.
type route struct {
	method, path string
	class        class
	// noun is the kind of resource that the first id names and a 404 is about.
	noun string
	// action is what a Viewer without the route cannot do, and alternative what its user
	// can do instead.
	action, alternative string
	// refine may map a failure to a better kind than its status has, from the Viewer's
	// unscrubbed text: many of its 500s mean something else.
	refine func(status int, detail string) (Kind, bool)
	// deadline replaces the timeout of the class; 0 keeps it.
	deadline time.Duration
	// impliedBy is a capability whose presence implies this route, for WebSockets, which no
	// /openapi.json lists: in every release both routes are in one router of the Viewer.
	// The handshake decides.
	impliedBy Capability
}

// changes reports whether the route may change something: then it is never retried, and a
// lost answer leaves the outcome unknown.
func (r route) changes() bool { return r.method != http.MethodGet }

// option sets an optional field of a route.
type option func(*route)

// lacking sets action and alternative.
func lacking(action, alternative string) option {
	return func(r *route) { r.action, r.alternative = action, alternative }
}

func within(deadline time.Duration) option { return func(r *route) { r.deadline = deadline } }

func refined(f func(int, string) (Kind, bool)) option { return func(r *route) { r.refine = f } }

func impliedBy(name Capability) option { return func(r *route) { r.impliedBy = name } }

// add adds a row. noun is the kind of resource that the first id names.
func add(name Capability, operation, noun string, c class, options ...option) Capability {
	r := route{noun: noun, class: c}
	r.method, r.path, _ = strings.Cut(operation, " ")
	if c == ssh {
		r.deadline, r.refine = sshDeadline, sshFailure
	}
	for _, set := range options {
		set(&r)
	}
	routes[name] = r
	return name
}

// The kinds of resources that a 404 can be about.
const (
	nounRun      = "run"
	nounArtifact = "artifact"
	nounAsset    = "asset"

	nounConnection  = "connection"
	nounSession     = "viewer session"
	nounEnvironment = "python environment"
	nounPath        = "path"
)

// sshDeadline is the default deadline of a call over SSH.
const sshDeadline = 30 * time.Second

const (
	noFiles    = "use a Viewer of 0.5 or 0.6, or ssh"
	noHostKeys = "connect at once: this Viewer accepts any host key"
)

var routes = make(map[Capability]route)

// The table. Whether a call is heavy was measured or read in the Viewer's source: the
// Viewer has one event loop, so one heavy call blocks all others.
var (
	capOpenAPI       = add("viewer.openapi", "GET /openapi.json", "", light)
	capHealth        = add("viewer.health", "GET /api/health", "", light)
	capConfig        = add("viewer.config", "GET /api/config", "", light)
	capSwitchRoot    = add("viewer.switch_root", "POST /api/config/user_root_dir", "", light)
	capGPU           = add("viewer.gpu", "GET /api/gpu/telemetry", "", light)
	capSystem        = add("viewer.system", "GET /api/system/monitor", "", heavy)                                                                               // blocks the event loop for 1.5 s
	capStorageStats  = add("viewer.storage_stats", "GET /api/storage/stats", "", heavy, lacking("measure its storage", "read the statistics of its artifacts")) // walks the whole tree
	capCheckStatuses = add("viewer.check_statuses", "POST /api/status/check", "", heavy)                                                                        // reads every run's status

	capListRuns     = add("experiments.list", "GET /api/runs", "", light)
	capGetRun       = add("experiments.get", "GET /api/runs/{run_id}", nounRun, light)
	capEnvironment  = add("experiments.environment", "GET /api/environment/{run_id}", nounRun, light)
	CapPatchRun     = add("experiments.patch", "PATCH /api/runs/{run_id}", nounRun, light, lacking("change alias and tags", "set tags and alias when the run is started"))
	capSoftDelete   = add("experiments.soft_delete", "POST /api/runs/soft-delete", "", light)
	capRecycleBin   = add("experiments.recycle_bin", "GET /api/recycle-bin", "", light)
	capRestore      = add("experiments.restore", "POST /api/recycle-bin/restore", "", light)
	capEmptyBin     = add("experiments.empty_bin", "POST /api/recycle-bin/empty", "", heavy)
	CapPurgeBatch   = add("experiments.purge_batch", "POST /api/runs/permanent-delete", "", heavy, lacking("delete single runs permanently", "move the runs to the recycle bin and empty it"))
	CapMoveRuns     = add("experiments.move", "POST /api/runs/move", "", light, lacking("move runs to another path", "give the path when the run is started"))
	CapPathRuns     = add("experiments.of_path", "GET /api/paths/export", "", heavy, lacking("list the summaries below a path", "read the experiments one by one"))
	capMetricsTable = add("metrics.table", "GET /api/runs/{run_id}/metrics_step", nounRun, heavy)
	capLogStream    = add("logs.stream", "GET /api/runs/{run_id}/logs/ws", nounRun, socket, refined(unknownSocket), impliedBy(capMetricsTable))
	CapFiles        = add("files.ranges", "GET /api/runs/{run_id}/assets/download", nounRun, stream, lacking("serve the files of a run", "read the merged metrics table"))

	capArtifacts     = add("artifacts.list", "GET /api/artifacts", "", light, lacking("list artifacts", "list the assets of an experiment"))
	capArtifactStats = add("artifacts.stats", "GET /api/artifacts/stats", "", heavy, lacking("count artifacts", "read the storage statistics"))
	capVersions      = add("artifacts.versions", "GET /api/artifacts/{artifact}/versions", nounArtifact, light, lacking("list the versions of an artifact", "list the assets of an experiment"))
	capVersion       = add("artifacts.version", "GET /api/artifacts/{artifact}/v{version}", nounArtifact, light, lacking("describe a version of an artifact", "list the assets of an experiment"))
	capVersionFiles  = add("artifacts.files", "GET /api/artifacts/{artifact}/v{version}/files", nounArtifact, light, lacking("list the files of an artifact", "list the assets of an experiment"))
	capLineage       = add("artifacts.lineage", "GET /api/artifacts/{artifact}/v{version}/lineage", nounArtifact, light, lacking("read the lineage of an artifact", "list the assets of an experiment"))
	capRunArtifacts  = add("artifacts.of_experiment", "GET /api/runs/{run_id}/artifacts", nounRun, light, lacking("list the artifacts of an experiment", "list the assets of the experiment"))
	capPromote       = add("artifacts.promote", "POST /api/artifacts/{artifact}/v{version}/promote", nounArtifact, light, lacking("promote a version of an artifact", "tag the experiment"))
	capDeleteVersion = add("artifacts.delete", "DELETE /api/artifacts/{artifact}/v{version}", nounArtifact, light, lacking("delete a version of an artifact", "delete experiments, which takes their assets with them"))
	capAssets        = add("assets.list", "GET /api/runs/{run_id}/assets", nounRun, light, lacking("list the assets of an experiment", "list the artifacts of the experiment"))
	capAssetRefs     = add("assets.refs", "GET /api/runs/{run_id}/assets/refs", nounRun, light, lacking("list the experiments that share an asset", "compare the fingerprints of their assets"))
	capImages        = add("assets.images", "GET /api/runs/{run_id}/images", nounRun, heavy, lacking("list the images of a run", "read the image events of the event log")) // re-reads the whole event file

	// One SSH call blocks the whole Viewer. On 0.7.2 even a list checks over SSH whether
	// connections that were not checked for 5 s are still open.
	capConnect        = add("remote.connect", "POST /api/remote/connect", "", ssh, within(45*time.Second))
	capDisconnect     = add("remote.disconnect", "POST /api/remote/disconnect", "", ssh)
	capConnections    = add("remote.connections", "GET /api/remote/sessions", "", ssh)
	capRemoteStatus   = add("remote.status", "GET /api/remote/status", "", ssh)
	capStartViewer    = add("remote.start_viewer", "POST /api/remote/viewer/start", "", ssh, within(120*time.Second))
	capStopViewer     = add("remote.stop_viewer", "POST /api/remote/viewer/stop", "", ssh)
	CapSessions       = add("remote.sessions", "GET /api/remote/viewer/sessions", "", ssh)
	capSession        = add("remote.session", "GET /api/remote/viewer/status/{session_id}", "", ssh)
	capListDirectory  = add("remote.list_directory", "GET /api/remote/fs/list", "", ssh, lacking("list remote folders", noFiles), refined(pathFailure))
	capCheckPath      = add("remote.check_path", "GET /api/remote/fs/exists", "", ssh, lacking("check remote paths", noFiles), refined(pathFailure))
	capEnvironments   = add("remote.python_environments", "GET /api/remote/conda-envs", "", ssh)
	capRemoteConfig   = add("remote.config", "GET /api/remote/config", "", ssh)
	capAcceptHostKey  = add("remote.accept_host_key", "POST /api/remote/known-hosts/accept", "", light, lacking("accept host keys", noHostKeys))
	capHostKeys       = add("remote.host_keys", "GET /api/remote/known-hosts/list", "", light, lacking("list host keys", noHostKeys))
	capRemoveHostKey  = add("remote.remove_host_key", "POST /api/remote/known-hosts/remove", "", light, lacking("remove host keys", noHostKeys))
	capSavedList      = add("remote.saved_connections", "GET /api/config/ssh_connections", "", light)
	capSaveConnection = add("remote.save_connection", "POST /api/config/ssh_connections", "", light)
	capDeleteSaved    = add("remote.delete_saved_connection", "DELETE /api/config/ssh_connections/{key}", "", light)
)

// url builds the URL of a call: the base, the route's fixed text, ids, each checked and
// escaped as one path element, and an encoded query.
func (c *Client) url(r route, q call) (string, error) {
	var refused error
	ids := q.ids
	path := placeholder.ReplaceAllStringFunc(r.path, func(field string) string {
		id := ""
		if len(ids) > 0 {
			id, ids = ids[0], ids[1:]
		}
		refused = cmp.Or(refused, CheckID(strings.Trim(field, "{}"), id))
		return url.PathEscape(id)
	})
	if refused != nil {
		return "", refused
	}
	target := c.base.Scheme + "://" + c.base.Host + c.base.EscapedPath() + path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	return target, nil
}
