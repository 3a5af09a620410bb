package viewers

import (
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// viewerConfig converts a Viewer's configuration.
func viewerConfig(viewer string, c *restclient.ViewerConfig) *runicornapiv1.ViewerConfig {
	return &runicornapiv1.ViewerConfig{
		Viewer:         viewer,
		StorageRoot:    convert.Text(c.UserRootDir.Value),
		Storage:        convert.Text(c.Storage.Value),
		ConfigFile:     convert.Text(c.ConfigFile.Value),
		HomeDirectory:  convert.Text(c.HomeDirectory.Value),
		StorageBackend: backendLabel(c.Backend),
	}
}

// backendLabel returns the Viewer's description of the location of its index.
func backendLabel(b *restclient.StorageBackend) string {
	if b == nil {
		return ""
	}
	return convert.Text(b.Label.Value)
}

// gpuAnswer converts the telemetry of GPUs.
func gpuAnswer(g *restclient.GPUs) *runicornapiv1.GetGpuResponse {
	out := &runicornapiv1.GetGpuResponse{
		Available: g.Available, Reason: convert.Text(g.Reason.Value), ReadTime: convert.Time(g.Time.Time),
	}
	for _, gpu := range g.GPUs {
		out.Gpus = append(out.Gpus, &runicornapiv1.Gpu{
			Index:                    convert.Clamp32(gpu.Index.Value),
			Name:                     convert.Text(gpu.Name.Value),
			UtilizationPercent:       convert.Float(gpu.UtilizationPercent),
			MemoryUtilizationPercent: convert.Float(gpu.MemoryUtilPercent),
			MemoryTotalMib:           convert.Float(gpu.MemoryTotalMiB),
			MemoryUsedMib:            convert.Float(gpu.MemoryUsedMiB),
			TemperatureCelsius:       convert.Float(gpu.TemperatureCelsius),
			PowerWatts:               convert.Float(gpu.PowerWatts),
			PowerLimitWatts:          convert.Float(gpu.PowerLimitWatts),
			SmClockMhz:               convert.Float(gpu.ClockSMMHz),
			MemoryClockMhz:           convert.Float(gpu.ClockMemoryMHz),
			FanSpeedPercent:          convert.Float(gpu.FanPercent),
			PerformanceState:         convert.Text(gpu.PerformanceState.Value),
		})
	}
	return out
}

// systemAnswer converts the load of a machine. A machine that cannot be measured has no
// parts.
func systemAnswer(s *restclient.System) *runicornapiv1.GetSystemResponse {
	out := &runicornapiv1.GetSystemResponse{
		Available: s.Available, Reason: convert.Text(s.Reason.Value), ReadTime: convert.Time(s.Time.Time),
	}
	if !s.Available {
		return out
	}
	out.Cpu = &runicornapiv1.Cpu{
		Percent: s.CPU.Percent.Value, Count: convert.Clamp32(s.CPU.Count.Value), LogicalCount: convert.Clamp32(s.CPU.LogicalCount.Value),
		PerCorePercent: floatsOf(s.CPU.PerCore), LoadAverage: floatsOf(s.CPU.LoadAverage),
		FrequencyMhz: convert.Float(s.CPU.Frequency.CurrentMHz),
	}
	out.Memory = &runicornapiv1.Memory{
		TotalBytes: s.Memory.Total.Value, AvailableBytes: s.Memory.Available.Value, UsedBytes: s.Memory.Used.Value,
		Percent: s.Memory.Percent.Value, SwapTotalBytes: s.Memory.SwapTotal.Value, SwapUsedBytes: s.Memory.SwapUsed.Value,
	}
	out.Disk = &runicornapiv1.Disk{
		TotalBytes: s.Disk.Total.Value, UsedBytes: s.Disk.Used.Value,
		FreeBytes: s.Disk.Free.Value, Percent: s.Disk.Percent.Value,
	}
	out.Platform = &runicornapiv1.Platform{
		System: convert.Text(s.Platform.System.Value), Release: convert.Text(s.Platform.Release.Value),
		Machine: convert.Text(s.Platform.Machine.Value),
	}
	return out
}

// floatsOf converts numbers; an unknown one becomes 0, so that the indexes stay the same.
func floatsOf(numbers []restclient.Float) []float64 {
	out := make([]float64, 0, len(numbers))
	for _, n := range numbers {
		out = append(out, n.Value)
	}
	return out
}

// storageAnswer converts the sizes of a storage. Parts that a Viewer does not measure are
// left out.
func storageAnswer(s *restclient.StorageStats) *runicornapiv1.GetStorageStatsResponse {
	out := &runicornapiv1.GetStorageStatsResponse{
		StorageRoot: convert.Text(s.Root.Value), RunCount: convert.Int64(s.Runs.Count),
	}
	for _, part := range []struct {
		name string
		size restclient.Size
	}{
		{"total", s.Total},
		{"archive", s.Archive.Size},
		{"archive.blobs", s.Archive.Blobs},
		{"archive.manifests", s.Archive.Manifests},
		{"archive.outputs", s.Archive.Outputs},
		{"runs", s.Runs.Size},
		{"index", s.Index},
	} {
		if part.size.Bytes.Known {
			out.Parts = append(out.Parts, &runicornapiv1.StorageUse{
				Part: part.name, SizeBytes: part.size.Bytes.Value, FileCount: convert.Int64(part.size.Files),
			})
		}
	}
	return out
}

// searchProgress converts the progress of the search index.
func searchProgress(s search.Stats) *runicornapiv1.SearchProgress {
	return &runicornapiv1.SearchProgress{
		ExperimentCount: convert.Clamp32(int64(s.Runs)), DigestedCount: convert.Clamp32(int64(s.Digested)),
		WaitingCount: convert.Clamp32(int64(s.Waiting)), Bytes: s.Bytes, OldestDigestTime: convert.Time(s.Oldest),
	}
}
