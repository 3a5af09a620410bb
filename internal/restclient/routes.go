package restclient

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Capability names one thing that a Viewer may be able to do: one route. The
// table below is the only place that says which route means which capability.
type Capability string

// The capabilities of the three generations.
const (
	CapOpenAPI        Capability = "viewer.openapi"
	CapHealth         Capability = "viewer.health"
	CapConfig         Capability = "viewer.config"
	CapSwitchRoot     Capability = "viewer.switch_root"
	CapGPU            Capability = "viewer.gpu"
	CapSystem         Capability = "viewer.system"
	CapStorageStats   Capability = "viewer.storage_stats"
	CapCheckStatuses  Capability = "viewer.check_statuses"
	CapListRuns       Capability = "experiments.list"
	CapGetRun         Capability = "experiments.get"
	CapEnvironment    Capability = "experiments.environment"
	CapPatchRun       Capability = "experiments.patch"
	CapSoftDelete     Capability = "experiments.soft_delete"
	CapRecycleBin     Capability = "experiments.recycle_bin"
	CapRestore        Capability = "experiments.restore"
	CapEmptyBin       Capability = "experiments.empty_bin"
	CapPurgeBatch     Capability = "experiments.purge_batch"
	CapMoveRuns       Capability = "experiments.move"
	CapMetricsTable   Capability = "metrics.table"
	CapLogStream      Capability = "logs.stream"
	CapFiles          Capability = "files.ranges"
	CapArtifacts      Capability = "artifacts.list"
	CapArtifactStats  Capability = "artifacts.stats"
	CapVersions       Capability = "artifacts.versions"
	CapVersion        Capability = "artifacts.version"
	CapVersionFiles   Capability = "artifacts.files"
	CapLineage        Capability = "artifacts.lineage"
	CapRunArtifacts   Capability = "artifacts.of_experiment"
	CapPromote        Capability = "artifacts.promote"
	CapDeleteVersion  Capability = "artifacts.delete"
	CapAssets         Capability = "assets.list"
	CapAssetRefs      Capability = "assets.refs"
	CapImages         Capability = "assets.images"
	CapConnect        Capability = "remote.connect"
	CapDisconnect     Capability = "remote.disconnect"
	CapConnections    Capability = "remote.connections"
	CapRemoteStatus   Capability = "remote.status"
	CapStartViewer    Capability = "remote.start_viewer"
	CapStopViewer     Capability = "remote.stop_viewer"
	CapSessions       Capability = "remote.sessions"
	CapSession        Capability = "remote.session"
	CapListDirectory  Capability = "remote.list_directory"
	CapCheckPath      Capability = "remote.check_path"
	CapEnvironments   Capability = "remote.python_environments"
	CapRemoteConfig   Capability = "remote.config"
	CapAcceptHostKey  Capability = "remote.accept_host_key"
	CapHostKeys       Capability = "remote.host_keys"
	CapRemoveHostKey  Capability = "remote.remove_host_key"
	CapSavedList      Capability = "remote.saved_connections"
	CapSaveConnection Capability = "remote.save_connection"
	CapDeleteSaved    Capability = "remote.delete_saved_connection"
)

// class says what a call costs the Viewer and which slots it takes.
type class uint8

const (
	light   class = iota + 1 // milliseconds
	heavy                    // may hold the Viewer's one event loop for seconds
	stream                   // its body lasts as long as the reader likes
	archive                  // a stream that is heavy until its first byte
	ssh                      // runs over SSH, and may hold the event loop until its peer answers
	socket                   // a WebSocket: light, but for hours, so it takes no slot; see logStreams
)

// route is one row of the table.
type route struct {
	method, path string
	class        class
	// noun is what the first id names; a 404 is then about such a thing.
	noun string
	// alternative tells the user of a Viewer without the route what to do.
	alternative string
	// refine may give a failure a better kind than its status has, from the
	// Viewer's unscrubbed text: many a 500 there means something else.
	refine func(status int, detail string) (Kind, bool)
	// deadline replaces the limit of time that the class has; 0 keeps it.
	deadline time.Duration
	// impliedBy vouches for a route that no /openapi.json lists, which is so of
	// WebSockets: in every release both are in one router of the Viewer. The
	// handshake has the last word.
	impliedBy Capability
}

// changes reports whether the route's method may change something: then it is
// never repeated, and a lost answer leaves the outcome unknown.
func (r route) changes() bool { return r.method != http.MethodGet }

// get, post and their like keep the table readable.
func get(path, noun string, c class) route {
	return route{method: http.MethodGet, path: path, noun: noun, class: c}
}

func post(path, noun string, c class) route {
	return route{method: http.MethodPost, path: path, noun: noun, class: c}
}

func verb(method, path, noun string) route {
	return route{method: method, path: path, noun: noun, class: light}
}

// overSSH is a route of the class ssh.
func overSSH(method, path string) route {
	return route{method: method, path: path, class: ssh, deadline: sshDeadline, refine: sshFailure}
}

func (r route) withDeadline(deadline time.Duration) route { r.deadline = deadline; return r }

func (r route) withImpliedBy(impliedBy Capability) route { r.impliedBy = impliedBy; return r }

func (r route) withAlternative(alternative string) route { r.alternative = alternative; return r }

func (r route) withRefine(f func(int, string) (Kind, bool)) route { r.refine = f; return r }

// The names of what a 404 can be about.
const (
	nounRun      = "run"
	nounArtifact = "artifact"
	nounAsset    = "asset"

	nounConnection  = "connection"
	nounSession     = "viewer session"
	nounEnvironment = "python environment"
	nounPath        = "path"
)

// sshDeadline bounds a call over SSH that has no deadline of its own.
const sshDeadline = 30 * time.Second

const (
	noFiles    = "use a Viewer of 0.5 or 0.6, or ssh"
	noHostKeys = "connect at once: this Viewer accepts any host key"
)

const noPurge = "move the runs to the recycle bin and empty it"

// routes is the table. Whether a call is heavy was measured, or read in the
// Viewer's source: it has one event loop, so one heavy call stops all others.
var routes = map[Capability]route{
	CapOpenAPI:       get("/openapi.json", "", light),
	CapHealth:        get("/api/health", "", light),
	CapConfig:        get("/api/config", "", light),
	CapSwitchRoot:    post("/api/config/user_root_dir", "", light),
	CapGPU:           get("/api/gpu/telemetry", "", light),
	CapSystem:        get("/api/system/monitor", "", heavy), // sleeps 1.5 s on the event loop
	CapStorageStats:  get("/api/storage/stats", "", heavy),  // walks the whole tree
	CapCheckStatuses: post("/api/status/check", "", heavy),  // reads every run's status

	CapListRuns:     get("/api/runs", "", light),
	CapGetRun:       get("/api/runs/{run_id}", nounRun, light),
	CapEnvironment:  get("/api/environment/{run_id}", nounRun, light),
	CapPatchRun:     verb(http.MethodPatch, "/api/runs/{run_id}", nounRun).withAlternative("set tags and alias when the run is started"),
	CapSoftDelete:   post("/api/runs/soft-delete", "", light),
	CapRecycleBin:   get("/api/recycle-bin", "", light),
	CapRestore:      post("/api/recycle-bin/restore", "", light),
	CapEmptyBin:     post("/api/recycle-bin/empty", "", heavy),
	CapPurgeBatch:   post("/api/runs/permanent-delete", "", heavy).withAlternative(noPurge),
	CapMoveRuns:     post("/api/runs/move", "", light),
	CapMetricsTable: get("/api/runs/{run_id}/metrics_step", nounRun, heavy),
	CapLogStream:    get("/api/runs/{run_id}/logs/ws", nounRun, socket).withImpliedBy(CapMetricsTable).withRefine(unknownSocket),
	CapFiles:        get("/api/runs/{run_id}/assets/download", nounRun, stream).withAlternative("read the merged metrics table"),

	CapArtifacts:     get("/api/artifacts", "", light).withAlternative("list the assets of an experiment"),
	CapArtifactStats: get("/api/artifacts/stats", "", heavy).withAlternative("read the storage statistics"),
	CapVersions:      get("/api/artifacts/{artifact}/versions", nounArtifact, light).withAlternative("list the assets of an experiment"),
	CapVersion:       get("/api/artifacts/{artifact}/v{version}", nounArtifact, light).withAlternative("list the assets of an experiment"),
	CapVersionFiles:  get("/api/artifacts/{artifact}/v{version}/files", nounArtifact, light).withAlternative("list the assets of an experiment"),
	CapLineage:       get("/api/artifacts/{artifact}/v{version}/lineage", nounArtifact, light).withAlternative("list the assets of an experiment"),
	CapRunArtifacts:  get("/api/runs/{run_id}/artifacts", nounRun, light).withAlternative("list the assets of the experiment"),
	CapPromote:       post("/api/artifacts/{artifact}/v{version}/promote", nounArtifact, light),
	CapDeleteVersion: verb(http.MethodDelete, "/api/artifacts/{artifact}/v{version}", nounArtifact),
	CapAssets:        get("/api/runs/{run_id}/assets", nounRun, light).withAlternative("list the artifacts of the experiment"),
	CapAssetRefs:     get("/api/runs/{run_id}/assets/refs", nounRun, light),
	CapImages:        get("/api/runs/{run_id}/images", nounRun, heavy).withAlternative("read the image events of the event log"), // re-reads the whole event file

	// One SSH call stops the whole Viewer. On 0.7.2 even a list looks over SSH
	// whether connections that it has not asked for 5 s still stand.
	CapConnect:        overSSH(http.MethodPost, "/api/remote/connect").withDeadline(45 * time.Second),
	CapDisconnect:     overSSH(http.MethodPost, "/api/remote/disconnect"),
	CapConnections:    overSSH(http.MethodGet, "/api/remote/sessions"),
	CapRemoteStatus:   overSSH(http.MethodGet, "/api/remote/status"),
	CapStartViewer:    overSSH(http.MethodPost, "/api/remote/viewer/start").withDeadline(120 * time.Second),
	CapStopViewer:     overSSH(http.MethodPost, "/api/remote/viewer/stop"),
	CapSessions:       overSSH(http.MethodGet, "/api/remote/viewer/sessions"),
	CapSession:        overSSH(http.MethodGet, "/api/remote/viewer/status/{session_id}"),
	CapListDirectory:  overSSH(http.MethodGet, "/api/remote/fs/list").withAlternative(noFiles).withRefine(pathFailure),
	CapCheckPath:      overSSH(http.MethodGet, "/api/remote/fs/exists").withAlternative(noFiles).withRefine(pathFailure),
	CapEnvironments:   overSSH(http.MethodGet, "/api/remote/conda-envs"),
	CapRemoteConfig:   overSSH(http.MethodGet, "/api/remote/config"),
	CapAcceptHostKey:  post("/api/remote/known-hosts/accept", "", light).withAlternative(noHostKeys),
	CapHostKeys:       get("/api/remote/known-hosts/list", "", light).withAlternative(noHostKeys),
	CapRemoveHostKey:  post("/api/remote/known-hosts/remove", "", light).withAlternative(noHostKeys),
	CapSavedList:      get("/api/config/ssh_connections", "", light),
	CapSaveConnection: post("/api/config/ssh_connections", "", light),
	CapDeleteSaved:    verb(http.MethodDelete, "/api/config/ssh_connections/{key}", ""),
}

// url builds the URL of a call: the base, the route's fixed text, ids that
// were checked and escaped as one path element each, and an encoded query.
func (c *Client) url(r route, q call) (string, error) {
	var path strings.Builder
	path.WriteString(c.base.EscapedPath())
	rest, used := r.path, 0
	for {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			break
		}
		end := open + strings.IndexByte(rest[open:], '}')
		id := ""
		if used < len(q.ids) {
			id = q.ids[used]
		}
		if err := CheckID(rest[open+1:end], id); err != nil {
			return "", err
		}
		path.WriteString(rest[:open])
		path.WriteString(url.PathEscape(id))
		rest, used = rest[end+1:], used+1
	}
	path.WriteString(rest)
	target := c.base.Scheme + "://" + c.base.Host + path.String()
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	return target, nil
}
