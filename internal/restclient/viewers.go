package restclient

import (
	"context"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// Health is the Viewer's answer to a health check. Only its arrival has meaning: the status
// is "ok" in every release, while the documented client waits for "healthy".
type Health struct {
	TextQuality
	Version Text `json:"version"`
	// Storage is the storage root, a path on the Viewer's machine.
	Storage Text `json:"storage"`
	// Backend is sent from 0.7 on.
	Backend *StorageBackend `json:"storage_backend"`
}

// StorageBackend describes how a 0.7 Viewer finds its runs.
type StorageBackend struct {
	Label Text `json:"label"`
}

// Health checks the Viewer's health. A busy Viewer may take ten seconds or more to answer
// and still be healthy.
//
//viewer:operation GET /api/health 0.5 0.6 0.7
func (c *Client) Health(ctx context.Context) (*Health, error) {
	health, err := readJSON[Health](ctx, c, call{cap: capHealth})
	if IsKind(err, KindUnsupported) || IsKind(err, KindMalformed) {
		return nil, c.notViewer(capHealth, "something whose /api/health is none")
	}
	return health, err
}

// ViewerConfig is where the Viewer keeps its data: paths on its machine.
type ViewerConfig struct {
	TextQuality
	UserRootDir Text `json:"user_root_dir"`
	Storage     Text `json:"storage"`
	ConfigFile  Text `json:"config_file"`
	// HomeDirectory and Backend are sent from 0.7 on.
	HomeDirectory Text            `json:"home_directory"`
	Backend       *StorageBackend `json:"storage_backend"`
}

// Config reads where the Viewer keeps its data.
//
//viewer:operation GET /api/config 0.5 0.6 0.7
func (c *Client) Config(ctx context.Context) (*ViewerConfig, error) {
	return readJSON[ViewerConfig](ctx, c, call{cap: capConfig})
}

// SwitchRoot makes the Viewer use another storage root, at once and after every restart. A
// relative path is refused here: Viewers expand variables in it, so it might become empty,
// which every release treats as its working directory.
//
//viewer:operation POST /api/config/user_root_dir 0.5 0.6 0.7
func (c *Client) SwitchRoot(ctx context.Context, path string) (*ViewerConfig, error) {
	if !scrub.IsAbsolute(path) {
		return nil, &IDError{Field: "path", Reason: "must be an absolute path on the Viewer's machine"}
	}
	if err := checkPath(path); err != nil {
		return nil, err
	}
	defer c.runs.invalidate()
	defer c.dirs.clear()
	defer c.exported.clear()
	return doJSON[ViewerConfig](ctx, c, call{cap: capSwitchRoot, body: map[string]string{"path": path}})
}

// GPUs is the telemetry of the Viewer's machine.
type GPUs struct {
	TextQuality
	// Available is false if nvidia-smi is missing; Reason says so.
	Available bool  `json:"available"`
	Reason    Text  `json:"reason"`
	Time      Time  `json:"ts"`
	GPUs      []GPU `json:"gpus"`
}

// GPU is one device. Values that nvidia-smi does not report are unknown.
type GPU struct {
	Index              Int   `json:"index"`
	Name               Text  `json:"name"`
	UtilizationPercent Float `json:"util_gpu"`
	MemoryUtilPercent  Float `json:"util_mem"`
	MemoryTotalMiB     Float `json:"mem_total_mib"`
	MemoryUsedMiB      Float `json:"mem_used_mib"`
	TemperatureCelsius Float `json:"temp_c"`
	PowerWatts         Float `json:"power_w"`
	PowerLimitWatts    Float `json:"power_limit_w"`
	ClockSMMHz         Float `json:"clock_sm_mhz"`
	ClockMemoryMHz     Float `json:"clock_mem_mhz"`
	PerformanceState   Text  `json:"pstate"`
	FanPercent         Float `json:"fan_speed_pct"`
}

// GPU reads the telemetry of the GPUs.
//
//viewer:operation GET /api/gpu/telemetry 0.5 0.6 0.7
func (c *Client) GPU(ctx context.Context) (*GPUs, error) {
	return readJSON[GPUs](ctx, c, call{cap: capGPU})
}

// System is the load of the Viewer's machine.
type System struct {
	TextQuality
	Available bool `json:"available"`
	Reason    Text `json:"reason"`
	Time      Time `json:"ts"`
	CPU       struct {
		Percent      Float   `json:"percent"`
		Count        Int     `json:"count"`
		LogicalCount Int     `json:"logical_count"`
		PerCore      []Float `json:"per_core"`
		LoadAverage  []Float `json:"load_avg"`
		Frequency    struct {
			CurrentMHz Float `json:"current"`
		} `json:"frequency"`
	} `json:"cpu"`
	Memory struct {
		Total     Int   `json:"total"`
		Available Int   `json:"available"`
		Used      Int   `json:"used"`
		Percent   Float `json:"percent"`
		SwapTotal Int   `json:"swap_total"`
		SwapUsed  Int   `json:"swap_used"`
	} `json:"memory"`
	Disk struct {
		Total   Int   `json:"total"`
		Used    Int   `json:"used"`
		Free    Int   `json:"free"`
		Percent Float `json:"percent"`
	} `json:"disk"`
	Platform struct {
		System  Text `json:"system"`
		Release Text `json:"release"`
		Machine Text `json:"machine"`
	} `json:"platform"`
}

// System reads the load of the Viewer's machine. It takes the Viewer 1.5 s, during which it
// answers no other call.
//
//viewer:operation GET /api/system/monitor 0.5 0.6 0.7
func (c *Client) System(ctx context.Context) (*System, error) {
	return readJSON[System](ctx, c, call{cap: capSystem})
}

// StorageStats is the size of the Viewer's data in bytes.
type StorageStats struct {
	TextQuality
	Root    Text `json:"storage_root"`
	Total   Size `json:"total"`
	Archive struct {
		Size
		Blobs     Size `json:"blobs"`
		Manifests Size `json:"manifests"`
		Outputs   Size `json:"outputs"`
	} `json:"archive"`
	// Runs covers only the old storage layout in 0.6.0.
	Runs struct {
		Size
		Count Int `json:"runs_count"`
	} `json:"runs"`
	Index Size `json:"index"`
}

// Size is the size of a part of the storage.
type Size struct {
	Bytes Int `json:"size_bytes"`
	Files Int `json:"file_count"`
}

// StorageStats reads the size of the data. The Viewer walks its whole tree.
//
//viewer:operation GET /api/storage/stats 0.6 0.7
func (c *Client) StorageStats(ctx context.Context) (*StorageStats, error) {
	return readJSON[StorageStats](ctx, c, call{cap: capStorageStats})
}

// StatusCheck is the result of CheckStatuses.
type StatusCheck struct {
	TextQuality
	Checked Int `json:"checked"`
	// Updated is 0 if another read has already fixed the status.
	Updated Int `json:"updated"`
	// Message is the Viewer's text.
	Message Text `json:"message"`
}

// CheckStatuses makes the Viewer check whether the processes of running experiments are
// alive, and mark the others as failed.
//
//viewer:operation POST /api/status/check 0.5 0.6 0.7
func (c *Client) CheckStatuses(ctx context.Context) (*StatusCheck, error) {
	defer c.runs.invalidate()
	return doJSON[StatusCheck](ctx, c, call{cap: capCheckStatuses})
}
