package restclient

import (
	"context"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// From 0.6 on, a run has its own assets. Their paths on the Viewer's machine are known
// here, because downloads are requested by path, and never leave the package.

// AssetKind is the role of an asset in its run.
type AssetKind string

// The kinds of assets.
const (
	AssetCode       AssetKind = "code"
	AssetConfig     AssetKind = "config"
	AssetDataset    AssetKind = "dataset"
	AssetPretrained AssetKind = "pretrained"
	AssetOutput     AssetKind = "output"
)

// Asset is one entry of a run's assets.
type Asset struct {
	// ID is a hash of everything that distinguishes assets, including the content's
	// fingerprint, so it is stable as long as the asset does not change. Two assets with
	// the same ID are the same asset.
	ID          string
	Kind        AssetKind
	Name        Text
	Context     Text
	Source      Source
	SourceType  Text
	Description Text
	// Fingerprint is empty if the Viewer only knows size and time.
	Fingerprint     string
	FingerprintKind Text
	Size, Files     Int
	// StoredTime is known for code and outputs.
	StoredTime Time
	// Saved reports whether the Viewer keeps a copy in a location where copies of this run
	// are allowed. Only saved assets can be opened.
	Saved bool
	// Zipped reports that the content is sent as a zip, which is packed for every request.
	Zipped bool
	// Values are the values of a config.
	Values Values

	location *copyLocation
}

// RunAssets are the assets of a run.
type RunAssets struct {
	TextQuality
	// Assets are code, config, datasets, pretrained models and outputs, in
	// the order in which they were logged.
	Assets []Asset
}

// Find returns an asset by its id, or nil.
func (a *RunAssets) Find(id string) *Asset {
	for i := range a.Assets {
		if a.Assets[i].ID == id {
			return &a.Assets[i]
		}
	}
	return nil
}

// Assets lists the assets of a run.
//
//viewer:operation GET /api/runs/{run_id}/assets 0.6 0.7
func (c *Client) Assets(ctx context.Context, runID string) (*RunAssets, error) {
	answer, err := readJSON[assetsAnswer](ctx, c, call{cap: capAssets, ids: []string{runID}})
	if err != nil {
		return nil, err
	}
	return answer.assets(runID), nil
}

// AssetRefs tells which assets of a run other runs use too.
type AssetRefs struct {
	TextQuality
	// Orphaned assets are used by no other run and are deleted when this one is purged.
	Orphaned []AssetRef `json:"orphaned_assets"`
	Shared   []AssetRef `json:"shared_assets"`
}

// AssetRef is an asset in the Viewer's index.
type AssetRef struct {
	Type Text `json:"asset_type"`
	// Fingerprint is that of the Asset, or size and time as JSON.
	Fingerprint Text `json:"fingerprint"`
	RefCount    Int  `json:"ref_count"`
	// OtherRuns is set by 0.6 only.
	OtherRuns []string `json:"other_runs"`
}

// AssetRefs reads from the Viewer's index which other runs use a run's assets. A 0.7 Viewer
// without an index answers 503, which is KindUnsupported.
//
//viewer:operation GET /api/runs/{run_id}/assets/refs 0.6 0.7
func (c *Client) AssetRefs(ctx context.Context, runID string) (*AssetRefs, error) {
	return readJSON[AssetRefs](ctx, c, call{cap: capAssetRefs, ids: []string{runID}})
}

// Image is an image that a run logged. 0.7.2 leaves out caption and time, which are in the
// event log.
type Image struct {
	Step Int
	Key  Text
	// File is the image for ReadFile. It is empty if the Viewer's path cannot be parsed.
	File RunFile
}

// RunImages are the images of a run in log order.
type RunImages struct {
	TextQuality
	Images []Image
}

// Images lists the images of a run; the Viewer reads the whole event file for it. 0.6 has
// no such route: read the event log. The Viewer leaves out images whose file is gone.
//
//viewer:operation GET /api/runs/{run_id}/images 0.7
func (c *Client) Images(ctx context.Context, runID string) (*RunImages, error) {
	answer, err := readJSON[struct {
		TextQuality
		Images []struct {
			Step Int    `json:"step"`
			Key  Text   `json:"key"`
			Path string `json:"path"`
		} `json:"images"`
	}](ctx, c, call{cap: capImages, ids: []string{runID}})
	if err != nil {
		return nil, err
	}
	out := &RunImages{TextQuality: answer.TextQuality}
	for _, image := range answer.Images {
		out.Images = append(out.Images, Image{Step: image.Step, Key: image.Key, File: withinRun(runID, image.Path)})
	}
	return out, nil
}

// withinRun returns the part of an absolute path after the run's folder.
func withinRun(runID, path string) RunFile {
	path = strings.ReplaceAll(path, `\`, "/")
	folder := "/" + runID + "/"
	i := strings.LastIndex(path, folder)
	if i < 0 {
		return ""
	}
	file, err := MediaFile(path[i+len(folder):])
	if err != nil {
		return ""
	}
	return file
}

// MediaFile returns the file for ReadFile at a path from an image event, such as
// media/1.png, which is relative to the run's folder. User programs write the log, so a
// path that leaves the folder is refused.
func MediaFile(path string) (RunFile, error) {
	if err := checkText("path", path); err != nil {
		return "", err
	}
	if scrub.IsServerPath(path) || strings.HasPrefix(path, "~") || strings.Contains(path, `\`) {
		return "", &IDError{Field: "path", Reason: "must be relative to the run, with forward slashes"}
	}
	for step := range strings.SplitSeq(path, "/") {
		if step == "" || strings.Trim(step, ".") == "" {
			return "", &IDError{Field: "path", Reason: "must not hold empty, \".\" or \"..\" steps"}
		}
	}
	return RunFile(path), nil
}
