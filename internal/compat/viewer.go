package compat

import (
	"context"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// health answers without a call to a Viewer. The client checks it when it is created; a
// Viewer that is down shows in the calls that need it. No token is required.
func (c *compat) health(context.Context, *input) (answer, error) {
	return document{map[string]any{"status": "healthy", "service": "runicorn-grpc"}}, nil
}

// getConfig gets the default Viewer's configuration, in the Viewer's words.
func (c *compat) getConfig(ctx context.Context, _ *input) (answer, error) {
	resp, err := c.viewers.GetConfig(ctx, &runicornapiv1.GetConfigRequest{})
	if err != nil {
		return nil, err
	}
	return configAnswer(resp.GetConfig()), nil
}

// updateConfig changes the storage root, the only field that a Viewer can change; other
// fields are refused.
func (c *compat) updateConfig(ctx context.Context, in *input) (answer, error) {
	var body struct {
		Root string `json:"user_root_dir"`
	}
	if err := decode(in.body, &body); err != nil {
		return nil, err
	}
	if body.Root == "" {
		return nil, invalid("user_root_dir must be set: a Viewer can change nothing else")
	}
	resp, err := c.viewers.UpdateConfig(ctx, &runicornapiv1.UpdateConfigRequest{
		Config: &runicornapiv1.ViewerConfig{StorageRoot: body.Root},
	})
	if err != nil {
		return nil, err
	}
	return configAnswer(resp.GetConfig()), nil
}

// configAnswer converts a configuration to the Viewers' field names.
func configAnswer(config *runicornapiv1.ViewerConfig) answer {
	out := map[string]any{
		"viewer": config.GetViewer(), "user_root_dir": config.GetStorageRoot(),
		"storage": config.GetStorage(), "config_file": config.GetConfigFile(),
	}
	if home := config.GetHomeDirectory(); home != "" { // 0.7 and later
		out["home_directory"], out["storage_backend"] = home, config.GetStorageBackend()
	}
	return document{out}
}

// gpu reads the telemetry of GPUs, in the Viewer's field names.
func (c *compat) gpu(ctx context.Context, _ *input) (answer, error) {
	resp, err := c.viewers.GetGpu(ctx, &runicornapiv1.GetGpuRequest{})
	if err != nil {
		return nil, err
	}
	gpus := convertAll(resp.GetGpus(), func(g *runicornapiv1.Gpu) map[string]any {
		return map[string]any{
			"index": g.GetIndex(), "name": g.GetName(),
			"util_gpu": finite(g.UtilizationPercent), "util_mem": finite(g.MemoryUtilizationPercent),
			"mem_total_mib": finite(g.MemoryTotalMib), "mem_used_mib": finite(g.MemoryUsedMib),
			"temp_c": finite(g.TemperatureCelsius), "power_w": finite(g.PowerWatts), "power_limit_w": finite(g.PowerLimitWatts),
			"clock_sm_mhz": finite(g.SmClockMhz), "clock_mem_mhz": finite(g.MemoryClockMhz),
			"fan_speed_pct": finite(g.FanSpeedPercent), "pstate": g.GetPerformanceState(),
		}
	})
	return document{map[string]any{
		"available": resp.GetAvailable(), "reason": resp.GetReason(), "ts": seconds(resp.GetReadTime()), "gpus": gpus,
	}}, nil
}
