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

// The capabilities that callers ask for before they call.
const (
	CapPatchRun   Capability = "experiments.patch"
	CapPurgeBatch Capability = "experiments.purge_batch"
	CapMoveRuns   Capability = "experiments.move"
	CapFiles      Capability = "files.ranges"
	CapSessions   Capability = "remote.sessions"
)

// The other capabilities of the three generations.
const (
	capOpenAPI        Capability = "viewer.openapi"
	capHealth         Capability = "viewer.health"
	capConfig         Capability = "viewer.config"
	capSwitchRoot     Capability = "viewer.switch_root"
	capGPU            Capability = "viewer.gpu"
	capSystem         Capability = "viewer.system"
	capStorageStats   Capability = "viewer.storage_stats"
	capCheckStatuses  Capability = "viewer.check_statuses"
	capListRuns       Capability = "experiments.list"
	capGetRun         Capability = "experiments.get"
	capEnvironment    Capability = "experiments.environment"
	capSoftDelete     Capability = "experiments.soft_delete"
	capRecycleBin     Capability = "experiments.recycle_bin"
	capRestore        Capability = "experiments.restore"
	capEmptyBin       Capability = "experiments.empty_bin"
	capMetricsTable   Capability = "metrics.table"
	capLogStream      Capability = "logs.stream"
	capArtifacts      Capability = "artifacts.list"
	capArtifactStats  Capability = "artifacts.stats"
	capVersions       Capability = "artifacts.versions"
	capVersion        Capability = "artifacts.version"
	capVersionFiles   Capability = "artifacts.files"
	capLineage        Capability = "artifacts.lineage"
	capRunArtifacts   Capability = "artifacts.of_experiment"
	capPromote        Capability = "artifacts.promote"
	capDeleteVersion  Capability = "artifacts.delete"
	capAssets         Capability = "assets.list"
	capAssetRefs      Capability = "assets.refs"
	capImages         Capability = "assets.images"
	capConnect        Capability = "remote.connect"
	capDisconnect     Capability = "remote.disconnect"
	capConnections    Capability = "remote.connections"
	capRemoteStatus   Capability = "remote.status"
	capStartViewer    Capability = "remote.start_viewer"
	capStopViewer     Capability = "remote.stop_viewer"
	capSession        Capability = "remote.session"
	capListDirectory  Capability = "remote.list_directory"
	capCheckPath      Capability = "remote.check_path"
	capEnvironments   Capability = "remote.python_environments"
	capRemoteConfig   Capability = "remote.config"
	capAcceptHostKey  Capability = "remote.accept_host_key"
	capHostKeys       Capability = "remote.host_keys"
	capRemoveHostKey  Capability = "remote.remove_host_key"
	capSavedList      Capability = "remote.saved_connections"
	capSaveConnection Capability = "remote.save_connection"
	capDeleteSaved    Capability = "remote.delete_saved_connection"
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
	capOpenAPI:       get("/openapi.json", "", light),
	capHealth:        get("/api/health", "", light),
	capConfig:        get("/api/config", "", light),
	capSwitchRoot:    post("/api/config/user_root_dir", "", light),
	capGPU:           get("/api/gpu/telemetry", "", light),
	capSystem:        get("/api/system/monitor", "", heavy), // sleeps 1.5 s on the event loop
	capStorageStats:  get("/api/storage/stats", "", heavy),  // walks the whole tree
	capCheckStatuses: post("/api/status/check", "", heavy),  // reads every run's status

	capListRuns:     get("/api/runs", "", light),
	capGetRun:       get("/api/runs/{run_id}", nounRun, light),
	capEnvironment:  get("/api/environment/{run_id}", nounRun, light),
	CapPatchRun:     verb(http.MethodPatch, "/api/runs/{run_id}", nounRun).withAlternative("set tags and alias when the run is started"),
	capSoftDelete:   post("/api/runs/soft-delete", "", light),
	capRecycleBin:   get("/api/recycle-bin", "", light),
	capRestore:      post("/api/recycle-bin/restore", "", light),
	capEmptyBin:     post("/api/recycle-bin/empty", "", heavy),
	CapPurgeBatch:   post("/api/runs/permanent-delete", "", heavy).withAlternative(noPurge),
	CapMoveRuns:     post("/api/runs/move", "", light),
	capMetricsTable: get("/api/runs/{run_id}/metrics_step", nounRun, heavy),
	capLogStream:    get("/api/runs/{run_id}/logs/ws", nounRun, socket).withImpliedBy(capMetricsTable).withRefine(unknownSocket),
	CapFiles:        get("/api/runs/{run_id}/assets/download", nounRun, stream).withAlternative("read the merged metrics table"),

	capArtifacts:     get("/api/artifacts", "", light).withAlternative("list the assets of an experiment"),
	capArtifactStats: get("/api/artifacts/stats", "", heavy).withAlternative("read the storage statistics"),
	capVersions:      get("/api/artifacts/{artifact}/versions", nounArtifact, light).withAlternative("list the assets of an experiment"),
	capVersion:       get("/api/artifacts/{artifact}/v{version}", nounArtifact, light).withAlternative("list the assets of an experiment"),
	capVersionFiles:  get("/api/artifacts/{artifact}/v{version}/files", nounArtifact, light).withAlternative("list the assets of an experiment"),
	capLineage:       get("/api/artifacts/{artifact}/v{version}/lineage", nounArtifact, light).withAlternative("list the assets of an experiment"),
	capRunArtifacts:  get("/api/runs/{run_id}/artifacts", nounRun, light).withAlternative("list the assets of the experiment"),
	capPromote:       post("/api/artifacts/{artifact}/v{version}/promote", nounArtifact, light),
	capDeleteVersion: verb(http.MethodDelete, "/api/artifacts/{artifact}/v{version}", nounArtifact),
	capAssets:        get("/api/runs/{run_id}/assets", nounRun, light).withAlternative("list the artifacts of the experiment"),
	capAssetRefs:     get("/api/runs/{run_id}/assets/refs", nounRun, light),
	capImages:        get("/api/runs/{run_id}/images", nounRun, heavy).withAlternative("read the image events of the event log"), // re-reads the whole event file

	// One SSH call stops the whole Viewer. On 0.7.2 even a list looks over SSH
	// whether connections that it has not asked for 5 s still stand.
	capConnect:        overSSH(http.MethodPost, "/api/remote/connect").withDeadline(45 * time.Second),
	capDisconnect:     overSSH(http.MethodPost, "/api/remote/disconnect"),
	capConnections:    overSSH(http.MethodGet, "/api/remote/sessions"),
	capRemoteStatus:   overSSH(http.MethodGet, "/api/remote/status"),
	capStartViewer:    overSSH(http.MethodPost, "/api/remote/viewer/start").withDeadline(120 * time.Second),
	capStopViewer:     overSSH(http.MethodPost, "/api/remote/viewer/stop"),
	CapSessions:       overSSH(http.MethodGet, "/api/remote/viewer/sessions"),
	capSession:        overSSH(http.MethodGet, "/api/remote/viewer/status/{session_id}"),
	capListDirectory:  overSSH(http.MethodGet, "/api/remote/fs/list").withAlternative(noFiles).withRefine(pathFailure),
	capCheckPath:      overSSH(http.MethodGet, "/api/remote/fs/exists").withAlternative(noFiles).withRefine(pathFailure),
	capEnvironments:   overSSH(http.MethodGet, "/api/remote/conda-envs"),
	capRemoteConfig:   overSSH(http.MethodGet, "/api/remote/config"),
	capAcceptHostKey:  post("/api/remote/known-hosts/accept", "", light).withAlternative(noHostKeys),
	capHostKeys:       get("/api/remote/known-hosts/list", "", light).withAlternative(noHostKeys),
	capRemoveHostKey:  post("/api/remote/known-hosts/remove", "", light).withAlternative(noHostKeys),
	capSavedList:      get("/api/config/ssh_connections", "", light),
	capSaveConnection: post("/api/config/ssh_connections", "", light),
	capDeleteSaved:    verb(http.MethodDelete, "/api/config/ssh_connections/{key}", ""),
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
