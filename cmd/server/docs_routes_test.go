package main

// viewerRoutes returns the routes of a Viewer for each RPC. Files of a run are read by
// assets/download if a release has it.
var viewerRoutes = map[string][]string{
	"ListExperiments":         {listRuns, readFiles, exportPath},
	"GetExperiment":           {listRuns, getRun, readFiles},
	"ListProjects":            {listRuns},
	"UpdateExperiment":        {"PATCH /api/runs/{run_id}", "POST /api/runs/move"},
	"DeleteExperiments":       {"POST /api/runs/soft-delete"},
	"ListDeletedExperiments":  {"GET /api/recycle-bin"},
	"RestoreExperiments":      {"POST /api/recycle-bin/restore"},
	"PurgeExperiments":        {"POST /api/runs/permanent-delete", "POST /api/recycle-bin/empty"},
	"GetEnvironment":          {"GET /api/environment/{run_id}"},
	"WatchExperiments":        {listRuns},
	"TailLogs":                {readFiles, "/api/runs/{run_id}/logs/ws"},
	"ExportExperiment":        {readFiles, readTable, "GET /api/environment/{run_id}"},
	"ListMetrics":             {readFiles, readTable},
	"GetMetrics":              {readFiles, readTable},
	"CompareExperiments":      {readFiles, readTable},
	"FindBestExperiment":      {listRuns, readFiles, readTable, exportPath},
	"StreamMetrics":           {readFiles, readTable},
	"TailMetrics":             {listRuns, readFiles, readTable},
	"ListViewers":             {"GET /api/health", "GET /openapi.json"},
	"GetViewer":               {"GET /api/health", "GET /openapi.json"},
	"GetConfig":               {"GET /api/config"},
	"UpdateConfig":            {"POST /api/config/user_root_dir"},
	"GetGpu":                  {"GET /api/gpu/telemetry"},
	"GetSystem":               {"GET /api/system/monitor"},
	"GetStorageStats":         {"GET /api/storage/stats"},
	"CheckStatuses":           {"POST /api/status/check"},
	"ListArtifacts":           {"GET /api/artifacts"},
	"GetArtifact":             {"GET /api/artifacts", getVersion, listVersions, runArtifacts},
	"ListArtifactVersions":    {"GET /api/artifacts", listVersions},
	"ListArtifactFiles":       {"GET /api/artifacts", getVersion + "/files"},
	"GetArtifactLineage":      {"GET /api/artifacts", getVersion + "/lineage"},
	"ListExperimentArtifacts": {runArtifacts, listAssets},
	"GetArtifactStats":        {"GET /api/artifacts/stats"},
	"PromoteArtifact":         {"POST /api/artifacts/{artifact}/v{version}/promote"},
	"DeleteArtifact":          {"DELETE /api/artifacts/{artifact}/v{version}"},
	"ListAssets":              {listAssets, listAssets + "/refs", readFiles},
	"ListImages":              {readFiles, "GET /api/runs/{run_id}/images"},
	"DownloadAsset":           {listAssets, readFiles},
	"OpenConnection":          {"POST /api/remote/connect"},
	"ListConnections":         {"GET /api/remote/sessions"},
	"CloseConnection":         {"POST /api/remote/viewer/stop", "POST /api/remote/disconnect"},
	"StartViewer":             {listEnvironments, "POST /api/remote/viewer/start"},
	"StopViewer":              {"POST /api/remote/viewer/stop"},
	"ListViewerSessions":      {"GET /api/remote/viewer/sessions"},
	"GetViewerSession":        {"GET /api/remote/viewer/status/{session_id}"},
	"ListDirectory":           {"GET /api/remote/fs/list"},
	"CheckPath":               {"GET /api/remote/fs/exists"},
	"ListPythonEnvironments":  {listEnvironments},
	"GetRemoteConfig":         {"GET /api/remote/config"},
	"GetRemoteStatus":         {"GET /api/remote/status"},
	"AcceptHostKey":           {"POST /api/remote/known-hosts/accept"},
	"ListHostKeys":            {"GET /api/remote/known-hosts/list"},
	"RemoveHostKey":           {"POST /api/remote/known-hosts/remove"},
	"ListSavedConnections":    {"GET /api/config/ssh_connections"},
	"SaveConnection":          {"POST /api/config/ssh_connections"},
	"DeleteSavedConnection":   {"DELETE /api/config/ssh_connections/{key}"},
}

const (
	listRuns         = "GET /api/runs"
	getRun           = "GET /api/runs/{run_id}"
	readFiles        = "GET /api/runs/{run_id}/assets/download"
	readTable        = "GET /api/runs/{run_id}/metrics_step"
	exportPath       = "GET /api/paths/export"
	listAssets       = "GET /api/runs/{run_id}/assets"
	runArtifacts     = "GET /api/runs/{run_id}/artifacts"
	getVersion       = "GET /api/artifacts/{artifact}/v{version}"
	listVersions     = "GET /api/artifacts/{artifact}/versions"
	listEnvironments = "GET /api/remote/conda-envs"
)
