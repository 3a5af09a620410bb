package restclient

import (
	"context"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// From 0.6 on a run has assets of its own. Where they lie on the Viewer's
// machine is known here, because a download is asked for by path, and never
// leaves the package.

// AssetKind is what an asset is to its run.
type AssetKind string

// The kinds of assets.
const (
	AssetCode       AssetKind = "code"
	AssetConfig     AssetKind = "config"
	AssetDataset    AssetKind = "dataset"
	AssetPretrained AssetKind = "pretrained"
	AssetOutput     AssetKind = "output"
)

// Asset is one thing that a run keeps.
type Asset struct {
	// ID is made here of everything that tells assets apart, the content's
	// fingerprint included: it stays as long as the asset does. Two assets
	// with one id are the same.
	ID          string
	Kind        AssetKind
	Name        Text
	Context     Text
	Source      Source
	SourceType  Text
	Description Text
	// Fingerprint is empty where the Viewer knows only size and time.
	Fingerprint     string
	FingerprintKind Text
	Size, Files     Int
	// StoredTime is known of code and outputs.
	StoredTime Time
	// Saved says whether the Viewer keeps a copy where a copy of this run can
	// lie; only that can be opened.
	Saved bool
	// Zipped says that the content comes as a zip, packed anew each time.
	Zipped bool
	// Values are those of the config.
	Values Values

	location *copyLocation
}

// RunAssets is what a run keeps.
type RunAssets struct {
	TextQuality
	// Assets are code, config, datasets, pretrained models and outputs, in
	// the order in which they were logged.
	Assets []Asset
}

// Find returns an asset by its id, nil if the run has none such.
func (a *RunAssets) Find(id string) *Asset {
	for i := range a.Assets {
		if a.Assets[i].ID == id {
			return &a.Assets[i]
		}
	}
	return nil
}

// Assets lists what a run keeps.
//
//viewer:operation GET /api/runs/{run_id}/assets 0.6 0.7
func (c *Client) Assets(ctx context.Context, runID string) (*RunAssets, error) {
	answer, err := readJSON[assetsAnswer](ctx, c, call{cap: capAssets, ids: []string{runID}})
	if err != nil {
		return nil, err
	}
	return answer.assets(runID), nil
}

// AssetRefs says who else uses what a run keeps.
type AssetRefs struct {
	TextQuality
	// Orphaned assets are used by no other run, and go when this one is purged.
	Orphaned []AssetRef `json:"orphaned_assets"`
	Shared   []AssetRef `json:"shared_assets"`
}

// AssetRef is an asset as the Viewer's index has it.
type AssetRef struct {
	Type Text `json:"asset_type"`
	// Fingerprint is as in Asset, or size and time as JSON.
	Fingerprint Text `json:"fingerprint"`
	RefCount    Int  `json:"ref_count"`
	// OtherRuns are named by 0.6 only.
	OtherRuns []string `json:"other_runs"`
}

// AssetRefs asks the Viewer's index who else uses what a run keeps. A 0.7 Viewer
// without an index answers 503, which is KindUnsupported.
//
//viewer:operation GET /api/runs/{run_id}/assets/refs 0.6 0.7
func (c *Client) AssetRefs(ctx context.Context, runID string) (*AssetRefs, error) {
	return readJSON[AssetRefs](ctx, c, call{cap: capAssetRefs, ids: []string{runID}})
}

// Image is an image that a run logged. 0.7.2 leaves out its caption and time,
// which are in the event log.
type Image struct {
	Step Int
	Key  Text
	// File is the image for ReadFile, empty where the Viewer's path cannot
	// be understood.
	File RunFile
}

// RunImages are the images of a run, in the order of logging.
type RunImages struct {
	TextQuality
	Images []Image
}

// Images lists the images of a run, for which the Viewer reads its whole event
// file. 0.6 has no such route: read the event log. Images whose file is gone
// are left out by the Viewer.
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

// withinRun takes what follows the run's own folder in an absolute path.
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

// MediaFile makes a file for ReadFile of a path that an image event names,
// such as media/1.png, relative to its run's folder. The log is written by
// programs of users, so a path that leaves the folder is refused.
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
