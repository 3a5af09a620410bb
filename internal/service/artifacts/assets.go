package artifacts

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

const anyAsset = runicornapiv1.AssetType_ASSET_TYPE_UNSPECIFIED

// listAssets lists the assets of a run, then the run's own files.
func listAssets(ctx context.Context, t target.Run, only runicornapiv1.AssetType) ([]*runicornapiv1.Asset, error) {
	assets, err := t.Client.Assets(ctx, t.RunID)
	if err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	var refs assetRefs
	g.Go(func() (err error) {
		refs, err = readRefs(ctx, t)
		return err
	})
	files := make([]*runicornapiv1.Asset, len(runFiles))
	for i, f := range runFiles {
		g.Go(func() (err error) {
			files[i], err = statRunFile(ctx, t, f)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []*runicornapiv1.Asset
	for i := range assets.Assets {
		out = append(out, assetOf(t, &assets.Assets[i], refs))
	}
	out = append(out, files...)
	return slices.DeleteFunc(out, func(a *runicornapiv1.Asset) bool {
		return a == nil || only != anyAsset && a.GetType() != only
	}), nil
}

func assetOf(t target.Run, a *restclient.Asset, refs assetRefs) *runicornapiv1.Asset {
	out := &runicornapiv1.Asset{
		AssetId: assetIDOf(assetKind, t.RunID, a.ID), Type: assetTypes[a.Kind], Name: convert.Text(a.Name.Value),
		Context: convert.Text(a.Context.Value), Source: convert.Text(string(a.Source)), Description: convert.Text(a.Description.Value),
		Saved: a.Saved, Fingerprint: convert.Text(a.Fingerprint), FingerprintKind: convert.Text(a.FingerprintKind.Value),
		SizeBytes: convert.Int64(a.Size), FileCount: convert.Int32(a.Files), Metadata: convert.Values(a.Values),
	}
	if a.SourceType.Known {
		if out.Metadata == nil {
			out.Metadata = make(map[string]*runicornapiv1.Value, 1)
		}
		out.Metadata["source_type"] = &runicornapiv1.Value{Kind: &runicornapiv1.Value_Text{Text: convert.Text(a.SourceType.Value)}}
	}
	if ref, ok := refs[refKey{string(a.Kind), a.Fingerprint}]; ok && a.Fingerprint != "" {
		out.ReferenceCount = convert.Int32(ref.RefCount)
		for _, runID := range ref.OtherRuns {
			out.OtherRunIds = append(out.OtherRunIds, convert.Text(runID))
		}
	}
	return out
}

// refKey identifies an asset in the Viewer's index, whose own ids are not in the list of
// assets.
type refKey struct{ kind, fingerprint string }

// assetRefs holds which other runs use an asset.
type assetRefs map[refKey]*restclient.AssetRef

// readRefs reads the references from the Viewer's index. The result is empty if a Viewer
// of 0.7 has no index, if the run has an id that the user chose, or if the index does not
// have the run.
func readRefs(ctx context.Context, t target.Run) (assetRefs, error) {
	refs, err := t.Client.AssetRefs(ctx, t.RunID)
	if e, ok := errors.AsType[*restclient.Error](err); ok {
		switch e.Kind {
		case restclient.KindUnsupported, restclient.KindBadRequest, restclient.KindNotFound:
			return nil, nil //nolint:nilnil // an index without the run knows of no references
		}
	}
	if err != nil {
		return nil, err
	}
	out := make(assetRefs, len(refs.Orphaned)+len(refs.Shared))
	for _, list := range [][]restclient.AssetRef{refs.Orphaned, refs.Shared} {
		for i := range list {
			out[refKey{list[i].Type.Value, list[i].Fingerprint.Value}] = &list[i]
		}
	}
	return out, nil
}

// statRunFile returns a file of the run as an asset, nil if the file does not exist.
func statRunFile(ctx context.Context, t target.Run, f runFile) (*runicornapiv1.Asset, error) {
	part, err := t.Client.ReadFile(ctx, t.RunID, f.file, 0, 1) // the answer to any range has the size
	if err != nil {
		return nil, err
	}
	if err := part.Close(); err != nil {
		return nil, err
	}
	switch part.State {
	case restclient.FileAbsent:
		return nil, nil //nolint:nilnil // the run may yet get one
	case restclient.RunGone:
		return nil, t.NotFound()
	}
	out := &runicornapiv1.Asset{
		AssetId: assetIDOf(fileKind, t.RunID, f.id), Type: runicornapiv1.AssetType_ASSET_TYPE_RUN_FILE,
		Name: string(f.file), Saved: true, FileCount: new(int32(1)),
	}
	if part.Size >= 0 {
		out.SizeBytes = &part.Size
	}
	return out, nil
}
