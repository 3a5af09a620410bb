package restclient

import (
	"context"
	"net/url"
	"strconv"
	"strings"
)

// Only 0.5 has artifacts: named, typed, versioned objects that runs create and use.
// Absolute paths of the Viewer's machine are not decoded, so they cannot leave this
// package.

// Artifact is an entry of the artifact list.
type Artifact struct {
	Name          Text `json:"name"`
	Type          Text `json:"type"`
	Versions      Int  `json:"num_versions"`
	LatestVersion Int  `json:"latest_version"`
	// Size is the size of the latest version in bytes.
	Size        Int  `json:"size_bytes"`
	CreatedTime Time `json:"created_at"`
	UpdatedTime Time `json:"updated_at"`
	// Aliases is authoritative for which version an alias names. The details of old
	// versions keep aliases that have moved to a newer version.
	Aliases map[string]Int `json:"aliases"`
}

// ArtifactVersion is one version of an artifact. The list of versions lacks the fields
// marked "detail".
type ArtifactVersion struct {
	TextQuality
	Version        Int    `json:"version"`
	CreatedTime    Time   `json:"created_at"`
	UpdatedTime    Time   `json:"updated_at"` // detail
	CreatedByRun   Text   `json:"created_by_run"`
	CreatedByUser  Text   `json:"created_by_user"` // detail
	Size           Int    `json:"size_bytes"`
	Files          Int    `json:"num_files"`
	References     Int    `json:"num_references"` // detail
	Status         Text   `json:"status"`
	Metadata       Values `json:"metadata"`        // detail
	Description    Text   `json:"description"`     // detail
	Tags           Texts  `json:"tags"`            // detail
	ManifestDigest Text   `json:"manifest_digest"` // detail
}

// VersionRef names one version of an artifact.
type VersionRef struct {
	Name string
	// Version counts from 1. Smaller numbers are refused here because the Viewer answers
	// 500.
	Version int64
	// Type distinguishes artifacts of the same name; it may be empty.
	Type string
}

// call returns the call for a route of this version.
func (r VersionRef) call(name Capability) (call, error) {
	if r.Version < 1 {
		return call{}, &IDError{Field: "version", Reason: "must be at least 1"}
	}
	query, err := typeQuery(r.Type)
	return call{cap: name, ids: []string{r.Name, strconv.FormatInt(r.Version, 10)}, query: query}, err
}

// typeQuery returns the query that filters by type. The Viewer uses the type as a folder
// name, so it is checked like an id.
func typeQuery(artifactType string) (url.Values, error) {
	if artifactType == "" {
		return url.Values{}, nil
	}
	return url.Values{"type": {artifactType}}, CheckID("type", artifactType)
}

// Artifacts lists the artifacts of a type, or all if it is empty, and reports whether text
// was lossy. An unknown type has none.
//
//viewer:operation GET /api/artifacts 0.5
func (c *Client) Artifacts(ctx context.Context, artifactType string) (items []Artifact, lossy bool, err error) {
	query, err := typeQuery(artifactType)
	if err != nil {
		return nil, false, err
	}
	return readList[Artifact](ctx, c, call{cap: capArtifacts, query: query})
}

// ArtifactVersions lists the versions of an artifact, oldest first, and reports whether
// text was lossy.
//
//viewer:operation GET /api/artifacts/{artifact}/versions 0.5
func (c *Client) ArtifactVersions(ctx context.Context, name, artifactType string) (items []ArtifactVersion, lossy bool, err error) {
	query, err := typeQuery(artifactType)
	if err != nil {
		return nil, false, err
	}
	return readList[ArtifactVersion](ctx, c, call{cap: capVersions, ids: []string{name}, query: query})
}

// ArtifactVersion reads one version. For a promoted version the error has Promoted set.
//
//viewer:operation GET /api/artifacts/{artifact}/v{version} 0.5
func (c *Client) ArtifactVersion(ctx context.Context, ref VersionRef) (*ArtifactVersion, error) {
	q, err := ref.call(capVersion)
	if err != nil {
		return nil, err
	}
	return readJSON[ArtifactVersion](ctx, c, q)
}

// isPromotedText recognizes the answer of 0.5.3 for a promoted version: 500,
// "ArtifactMetadata.__init__() got an unexpected keyword argument 'lifecycle_stage'".
// Promoting adds a field to the version's file that the Viewer's own reader rejects.
func isPromotedText(text string) bool {
	return strings.Contains(text, "unexpected keyword argument")
}

// ArtifactStats are the number and size of all artifacts.
type ArtifactStats struct {
	TextQuality
	Artifacts Int `json:"total_artifacts"`
	Versions  Int `json:"total_versions"`
	Size      Int `json:"total_size_bytes"`
	// Files is always 0 in 0.5.3.
	Files        Int  `json:"total_files"`
	Deduplicated bool `json:"dedup_enabled"`
	PoolSize     Int  `json:"dedup_pool_size_bytes"`
	SavedSize    Int  `json:"space_saved_bytes"`
	ByType       map[string]struct {
		Artifacts Int `json:"count"`
		Versions  Int `json:"versions"`
		Size      Int `json:"size_bytes"`
	} `json:"by_type"`
}

// ArtifactStats reads the totals. The Viewer walks all artifacts to compute them.
//
//viewer:operation GET /api/artifacts/stats 0.5
func (c *Client) ArtifactStats(ctx context.Context) (*ArtifactStats, error) {
	return readJSON[ArtifactStats](ctx, c, call{cap: capArtifactStats})
}

// Promotion moves a version to another lifecycle stage.
type Promotion struct {
	// ToStage is experimental, staging, production or archived.
	ToStage        string `json:"to_stage"`
	Notes          string `json:"notes,omitempty"`
	EvaluatorRunID string `json:"evaluator_run_id,omitempty"`
}

// Promoted is the change that was made.
type Promoted struct {
	TextQuality
	OK        bool `json:"ok"`
	FromStage Text `json:"from_stage"`
	ToStage   Text `json:"to_stage"`
}

// PromoteVersion moves a version to another stage; an unknown stage, or one that is not the
// next, is KindBadRequest. The Viewer looks up the name among the models first, whatever
// type the reference has.
//
//viewer:operation POST /api/artifacts/{artifact}/v{version}/promote 0.5
func (c *Client) PromoteVersion(ctx context.Context, ref VersionRef, p Promotion) (*Promoted, error) {
	q, err := VersionRef{Name: ref.Name, Version: ref.Version}.call(capPromote)
	if err != nil {
		return nil, err
	}
	q.body = p
	answer, err := doJSON[Promoted](ctx, c, q)
	if err == nil && !answer.OK {
		return nil, c.refused(q, KindServer, "")
	}
	return answer, err
}

// DeleteVersion deletes a version. Unless permanent, 0.5.3 only sets a mark that none of
// its routes reads: the version stays in every list and can be read and deleted again.
//
//viewer:operation DELETE /api/artifacts/{artifact}/v{version} 0.5
func (c *Client) DeleteVersion(ctx context.Context, ref VersionRef, permanent bool) error {
	q, err := ref.call(capDeleteVersion)
	if err != nil {
		return err
	}
	if permanent {
		q.query.Set("permanent", "true")
	}
	answer, err := doJSON[struct {
		Success bool `json:"success"`
		Message Text `json:"message"`
	}](ctx, c, q)
	if err == nil && !answer.Success {
		return c.refused(q, KindServer, answer.Message.Value)
	}
	return err
}
