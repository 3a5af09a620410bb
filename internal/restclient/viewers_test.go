package restclient

import (
	"errors"
	"testing"
)

func TestViewers_Reads(t *testing.T) {
	for _, tt := range versions {
		t.Run(tt.version, func(t *testing.T) {
			v := newViewer(t, tt.version)
			for route, name := range map[string]string{
				"GET /api/health":         "health",
				"GET /api/config":         "config",
				"GET /api/gpu/telemetry":  "gpu_telemetry",
				"GET /api/system/monitor": "system_monitor",
				"POST /api/status/check":  "status_check",
			} {
				v.on(route, answer(200, "application/json", fixture(t, tt.version, name)))
			}
			c := v.client(t)
			health, err := c.Health(t.Context())
			if err != nil || !health.Version.Known || (health.Backend != nil) != (tt.generation == Generation07) {
				t.Errorf("health %+v, %v", health, err)
			}
			cfg, err := c.Config(t.Context())
			if err != nil || !cfg.Storage.Known || cfg.HomeDirectory.Known != (tt.generation == Generation07) {
				t.Errorf("config %+v, %v", cfg, err)
			}
			gpus, err := c.GPU(t.Context())
			if err != nil || gpus.Available || gpus.Reason.Value == "" {
				t.Errorf("gpus %+v, %v", gpus, err)
			}
			system, err := c.System(t.Context())
			if err != nil || system.CPU.Count.Value != 2 || system.Memory.Total.Value < 1<<30 || len(system.CPU.PerCore) != 2 || system.Platform.System.Value != "Linux" {
				t.Errorf("system %+v, %v", system, err)
			}
			check, err := c.CheckStatuses(t.Context())
			if err != nil || check.Checked.Value != 1 || check.Updated.Value != 0 {
				t.Errorf("check %+v, %v", check, err)
			}
			if tt.generation == Generation05 {
				return
			}
			v.on("GET /api/storage/stats", answer(200, "application/json", fixture(t, tt.version, "storage_stats")))
			stats, err := c.StorageStats(t.Context())
			if err != nil || stats.Total.Bytes.Value < 1e5 || stats.Archive.Blobs.Files.Value != 2 || !stats.Runs.Bytes.Known {
				t.Errorf("storage %+v, %v", stats, err)
			}
		})
	}
}

func TestGPU_ReadsDevicesWithGaps(t *testing.T) {
	v := newViewer(t, "0.7.2")
	v.on("GET /api/gpu/telemetry", jsonAnswer(`{"available":true,"ts":1795446662.5,"gpus":[{"index":0,"name":"X100","util_gpu":97.0,
		"mem_total_mib":81920.0,"mem_used_mib":1024.0,"mem_used_pct":1.25,"temp_c":null,"power_w":"N/A","pstate":"P0"}]}`))
	gpus, err := v.client(t).GPU(t.Context())
	if err != nil || len(gpus.GPUs) != 1 {
		t.Fatal(gpus, err)
	}
	gpu := gpus.GPUs[0]
	if gpu.Name.Value != "X100" || gpu.UtilizationPercent.Value != 97 || gpu.TemperatureCelsius.Known || gpu.PowerWatts.Known {
		t.Errorf("gpu %+v", gpu)
	}
}

func TestSwitchRoot_RefusesAnEmptyPath(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on("POST /api/config/user_root_dir", jsonAnswer(`{"ok":true,"user_root_dir":"/new","storage":"/new"}`))
	c := v.client(t)
	_, err := c.SwitchRoot(t.Context(), "")
	if e, ok := errors.AsType[*IDError](err); !ok || e.Field != "path" || len(v.seen) > 0 {
		t.Errorf("got %v, sent %v", err, v.seen)
	}
	cfg, err := c.SwitchRoot(t.Context(), "/new")
	if err != nil || cfg.Storage.Value != "/new" || v.requests()[0].Body != `{"path":"/new"}` {
		t.Errorf("got %+v, %v", cfg, err)
	}
}
