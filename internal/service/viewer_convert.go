package service

import (
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// viewerConfig converts a Viewer's configuration.
func viewerConfig(viewer string, c *restclient.ViewerConfig) *runicornapiv1.ViewerConfig {
	return &runicornapiv1.ViewerConfig{
		Viewer:         viewer,
		StorageRoot:    validText(c.UserRootDir.Value),
		Storage:        validText(c.Storage.Value),
		ConfigFile:     validText(c.ConfigFile.Value),
		HomeDirectory:  validText(c.HomeDirectory.Value),
		StorageBackend: backendLabel(c.Backend),
	}
}

// backendLabel is how a Viewer calls the location of its index.
func backendLabel(b *restclient.StorageBackend) string {
	if b == nil {
		return ""
	}
	return validText(b.Label.Value)
}

// gpuAnswer converts the telemetry of graphics processors.
func gpuAnswer(g *restclient.GPUs) *runicornapiv1.GetGpuResponse {
	out := &runicornapiv1.GetGpuResponse{
		Available: g.Available, Reason: validText(g.Reason.Value), ReadTime: timeOf(g.Time.Time),
	}
	for _, gpu := range g.GPUs {
		out.Gpus = append(out.Gpus, &runicornapiv1.Gpu{
			Index:                    clamp32(gpu.Index.Value),
			Name:                     validText(gpu.Name.Value),
			UtilizationPercent:       floatOf(gpu.UtilizationPercent),
			MemoryUtilizationPercent: floatOf(gpu.MemoryUtilPercent),
			MemoryTotalMib:           floatOf(gpu.MemoryTotalMiB),
			MemoryUsedMib:            floatOf(gpu.MemoryUsedMiB),
			TemperatureCelsius:       floatOf(gpu.TemperatureCelsius),
			PowerWatts:               floatOf(gpu.PowerWatts),
			PowerLimitWatts:          floatOf(gpu.PowerLimitWatts),
			SmClockMhz:               floatOf(gpu.ClockSMMHz),
			MemoryClockMhz:           floatOf(gpu.ClockMemoryMHz),
			FanSpeedPercent:          floatOf(gpu.FanPercent),
			PerformanceState:         validText(gpu.PerformanceState.Value),
		})
	}
	return out
}

// systemAnswer converts the load of a machine. One that cannot be measured
// has no parts.
func systemAnswer(s *restclient.System) *runicornapiv1.GetSystemResponse {
	out := &runicornapiv1.GetSystemResponse{
		Available: s.Available, Reason: validText(s.Reason.Value), ReadTime: timeOf(s.Time.Time),
	}
	if !s.Available {
		return out
	}
	out.Cpu = &runicornapiv1.Cpu{
		Percent: s.CPU.Percent.Value, Count: clamp32(s.CPU.Count.Value), LogicalCount: clamp32(s.CPU.LogicalCount.Value),
		PerCorePercent: floatsOf(s.CPU.PerCore), LoadAverage: floatsOf(s.CPU.LoadAverage),
		FrequencyMhz: floatOf(s.CPU.Frequency.CurrentMHz),
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
		System: validText(s.Platform.System.Value), Release: validText(s.Platform.Release.Value),
		Machine: validText(s.Platform.Machine.Value),
	}
	return out
}

// floatsOf converts numbers; an unknown one counts as 0, so that the others
// keep their places.
func floatsOf(numbers []restclient.Float) []float64 {
	out := make([]float64, 0, len(numbers))
	for _, n := range numbers {
		out = append(out, n.Value)
	}
	return out
}

// storageAnswer converts what a storage takes. Parts that a Viewer does not
// measure are left out.
func storageAnswer(s *restclient.StorageStats) *runicornapiv1.GetStorageStatsResponse {
	out := &runicornapiv1.GetStorageStatsResponse{
		StorageRoot: validText(s.Root.Value), RunCount: int64Of(s.Runs.Count),
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
				Part: part.name, SizeBytes: part.size.Bytes.Value, FileCount: int64Of(part.size.Files),
			})
		}
	}
	return out
}
