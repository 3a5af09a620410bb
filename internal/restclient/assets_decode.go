package restclient

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/runicorn-grpc/runicorn-grpc/internal/viewerjson"
)

// assetsAnswer is the answer of the assets route: the run's assets.json, as the SDK or
// another program wrote it.
type assetsAnswer struct {
	TextQuality
	Assets viewerjson.Optional[assetsFile] `json:"assets"`
}

type assetsFile struct {
	Code struct {
		Snapshot viewerjson.Optional[*assetEntry] `json:"snapshot"`
	} `json:"code"`
	Config     viewerjson.Optional[configEntry]    `json:"config"`
	Datasets   viewerjson.OptionalList[assetEntry] `json:"datasets"`
	Pretrained viewerjson.OptionalList[assetEntry] `json:"pretrained"`
	Outputs    viewerjson.OptionalList[assetEntry] `json:"outputs"`
}

// assetEntry has the fields of all asset kinds.
type assetEntry struct {
	Name            Text   `json:"name"`
	Context         Text   `json:"context"`
	URI             Source `json:"uri"`         // datasets
	PathOrURI       Source `json:"path_or_uri"` // pretrained
	Path            Source `json:"path"`        // outputs: relative to the workspace, or shortened
	Key             string `json:"key"`         // outputs: the same path, absolute outside the workspace
	SourceType      Text   `json:"source_type"`
	Description     Text   `json:"description"`
	Saved           bool   `json:"saved"`
	Fingerprint     Value  `json:"fingerprint"` // a hash, or size and time
	FingerprintKind Text   `json:"fingerprint_kind"`
	ArchivePath     string `json:"archive_path"`
	FileCount       Int    `json:"file_count"`
	TotalSize       Int    `json:"total_size_bytes"`
	Size            Int    `json:"size_bytes"`
	ArchivedTime    Time   `json:"archived_at"`
	CreatedTime     Time   `json:"created_at"`
}

// configEntry is the configuration of a run.
type configEntry struct {
	Args  viewerjson.Optional[Values] `json:"args"`
	Extra viewerjson.Optional[Values] `json:"extra"`
	Files []Source                    `json:"config_files"`
}

// manifestKind is the fingerprint kind of a folder. Its copy is a manifest or a folder, and
// the Viewer packs both into a zip.
const manifestKind = "sha256_manifest"

// assets converts the answer to the assets of a run.
func (a *assetsAnswer) assets(runID string) *RunAssets {
	file := a.Assets.Value
	out := &RunAssets{TextQuality: a.TextQuality}
	if code := file.Code.Snapshot.Value; code != nil {
		code.Name = Text{Value: cmp.Or(code.Name.Value, "code"), Known: true}
		out.add(runID, AssetCode, code)
	}
	if values := file.Config.Value.values(); len(values) > 0 {
		config := Asset{Kind: AssetConfig, Name: Text{Value: "config", Known: true}, Values: values}
		config.ID = config.id("")
		out.Assets = append(out.Assets, config)
	}
	for i := range file.Datasets {
		out.add(runID, AssetDataset, &file.Datasets[i])
	}
	for i := range file.Pretrained {
		out.add(runID, AssetPretrained, &file.Pretrained[i])
	}
	for i := range file.Outputs {
		out.add(runID, AssetOutput, &file.Outputs[i])
	}
	return out
}

// add appends one asset.
func (a *RunAssets) add(runID string, kind AssetKind, e *assetEntry) {
	asset := Asset{
		Kind: kind, Name: e.Name, Context: e.Context, SourceType: e.SourceType, Description: e.Description,
		Source:          cmp.Or(e.URI, e.PathOrURI, e.Path),
		FingerprintKind: e.FingerprintKind, Size: cmp.Or(e.TotalSize, e.Size), Files: e.FileCount,
		StoredTime: e.ArchivedTime,
	}
	if e.Saved {
		asset.location = parseCopyLocation(runID, e.ArchivePath)
		asset.Saved = asset.location != nil
	}
	if asset.StoredTime.IsZero() {
		asset.StoredTime = e.CreatedTime
	}
	asset.readFingerprint(e.Fingerprint)
	asset.Zipped = asset.Saved && (e.FingerprintKind.Value == manifestKind || asset.location.isManifest())
	asset.ID = asset.id(e.Key)
	a.Assets = append(a.Assets, asset)
}

// readFingerprint accepts a hash, or the size and time of an object that was not hashed.
func (a *Asset) readFingerprint(v Value) {
	switch v.Kind {
	case ValueText:
		a.Fingerprint = v.Text
	case ValueJSON:
		var stat struct {
			Size  Int `json:"size_bytes"`
			Total Int `json:"total_size_bytes"`
			Files Int `json:"file_count"`
		}
		if viewerjson.UnmarshalText(v.Text, &stat) != nil {
			return
		}
		a.Size, a.Files = cmp.Or(a.Size, stat.Total, stat.Size), cmp.Or(a.Files, stat.Files)
	}
}

// id hashes what distinguishes assets. The input is not secret, and the path cannot be
// recovered from the hash.
func (a *Asset) id(key string) string {
	path := ""
	if a.location != nil {
		path = a.location.path
	}
	h := sha256.New()
	for _, part := range []string{
		string(a.Kind), a.Name.Value, a.Context.Value, string(a.Source), a.Fingerprint, key, path,
	} {
		h.Write([]byte(strconv.Itoa(len(part)) + ":" + part)) // never fails
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// values flattens the configuration to args.lr, extra.seed, config_files.
func (e configEntry) values() Values {
	out := make(Values, len(e.Args.Value)+len(e.Extra.Value)+1)
	for name, v := range e.Args.Value {
		out["args."+name] = v
	}
	for name, v := range e.Extra.Value {
		out["extra."+name] = v
	}
	if len(e.Files) > 0 {
		if text, err := json.Marshal(e.Files); err == nil {
			out["config_files"] = Value{Kind: ValueJSON, Text: string(text)}
		}
	}
	return out
}
