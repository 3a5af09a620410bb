package artifacts

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// An asset id says which thing of a run is meant and never where it lies:
//
//	a<run>-<id>               an asset, by restclient's id
//	f<run>-<name>             a file that every run may have
//	i<run>-<position>-<sum>   an image, by the offset of its line in the event
//	                          file and a sum of what the line must name
//
// <run> is a sum of the run id, so that an id of another run is refused before
// any Viewer is asked. It is no secret, and protects nothing by itself: each
// id is looked up anew in what its own run says that it has.
type assetID struct {
	kind byte
	rest string
}

const (
	assetKind = 'a'
	fileKind  = 'f'
	imageKind = 'i'
)

// assetIDForm is what all ids look like.
var assetIDForm = regexp.MustCompile(`^([afi])([0-9a-f]{8})-([0-9a-z-]{1,64})$`)

// assetIDOf makes the id of a thing of a run.
func assetIDOf(kind byte, runID, rest string) string {
	return string(kind) + shortSum(runID, 4) + "-" + rest
}

// shortSum is the beginning of a text's hash.
func shortSum(text string, bytes int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:bytes])
}

// readAssetID reads the id of a thing of a run.
func readAssetID(t target.Run, id string) (assetID, error) {
	parts := assetIDForm.FindStringSubmatch(id)
	switch {
	case parts == nil:
		return assetID{}, apierr.Invalid("asset_id", "is none that this server gave: ListAssets and ListImages give them")
	case parts[2] != shortSum(t.RunID, 4):
		return assetID{}, assetNotFound(t, id, "it is of another experiment")
	}
	return assetID{kind: parts[1][0], rest: parts[3]}, nil
}

// assetNotFound is the error of a thing that a run does not have.
func assetNotFound(t target.Run, id, detail string) error {
	return &restclient.Error{
		Kind: restclient.KindNotFound, Viewer: t.Name, Resource: "asset", ResourceID: id, Detail: detail,
	}
}

// imageID makes the id of the image whose line begins at position.
func imageID(runID string, position int64, path string) string {
	return assetIDOf(imageKind, runID, strconv.FormatInt(position, 36)+"-"+shortSum(path, 6))
}

// parseImageRef reads the rest of an image's id.
func parseImageRef(rest string) (position int64, sum string, ok bool) {
	text, sum, found := strings.Cut(rest, "-")
	position, err := strconv.ParseInt(text, 36, 64)
	return position, sum, found && err == nil && position >= 0
}

// runFile is a file that every run may have. Left out are meta.json and
// assets.json, which are full of paths of the Viewer's machine: GetExperiment
// and ListAssets say what is in them.
type runFile struct {
	id   string
	file restclient.RunFile
}

// runFiles are in the order in which they are listed.
var runFiles = []runFile{
	{"events", restclient.FileEvents},
	{"log", restclient.FileLogs},
	{"status", restclient.FileStatus},
	{"summary", restclient.FileSummary},
}

// assetTypes are the contract's values for the kinds of assets.
var assetTypes = map[restclient.AssetKind]runicornapiv1.AssetType{
	restclient.AssetCode:       runicornapiv1.AssetType_ASSET_TYPE_CODE,
	restclient.AssetConfig:     runicornapiv1.AssetType_ASSET_TYPE_CONFIG,
	restclient.AssetDataset:    runicornapiv1.AssetType_ASSET_TYPE_DATASET,
	restclient.AssetPretrained: runicornapiv1.AssetType_ASSET_TYPE_PRETRAINED,
	restclient.AssetOutput:     runicornapiv1.AssetType_ASSET_TYPE_OUTPUT,
}
