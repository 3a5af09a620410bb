package restclient

import (
	"context"
	"errors"
	"strconv"
)

// ArtifactFiles lists the contents of an artifact version.
type ArtifactFiles struct {
	TextQuality
	Files      []ArtifactFile      `json:"files"`
	References []ArtifactReference `json:"references"`
	TotalSize  Int                 `json:"total_size"`
}

// ArtifactFile is one file of a version. No Viewer serves its content.
type ArtifactFile struct {
	// Path is relative to the artifact.
	Path Text `json:"path"`
	Size Int  `json:"size"`
	// Digest has the form "sha256:1d18…".
	Digest       Text `json:"digest"`
	ModifiedTime Time `json:"modified_at"`
}

// ArtifactReference is an object stored elsewhere that belongs to a version.
type ArtifactReference struct {
	// URI is the creator's text; of a local path only the last element.
	URI      Source `json:"uri"`
	Checksum Text   `json:"checksum"`
	Size     Int    `json:"size"`
	Metadata Values `json:"metadata"`
}

// ArtifactFiles lists the files of a version.
//
//viewer:operation GET /api/artifacts/{artifact}/v{version}/files 0.5
func (c *Client) ArtifactFiles(ctx context.Context, ref VersionRef) (*ArtifactFiles, error) {
	q, err := ref.call(capVersionFiles)
	if err != nil {
		return nil, err
	}
	return readJSON[ArtifactFiles](ctx, c, q)
}

// Lineage is the graph of what a version was made from and used for.
type Lineage struct {
	TextQuality
	Root  Text          `json:"root_artifact"`
	Nodes []LineageNode `json:"nodes"`
	// Edges lack the Viewer's time, which is only the time of the request.
	Edges []LineageEdge `json:"edges"`
}

// LineageNode is an artifact version or a run.
type LineageNode struct {
	// Type is artifact or run.
	Type Text `json:"node_type"`
	// ID is name:vN for an artifact and run:ID for a run.
	ID       Text   `json:"node_id"`
	Label    Text   `json:"label"`
	Metadata Values `json:"metadata"`
}

// LineageEdge goes from a used artifact to its user (uses), or from a producer to its
// product (produces).
type LineageEdge struct {
	Source Text `json:"source"`
	Target Text `json:"target"`
	Type   Text `json:"edge_type"`
}

var errNoNodes = errors.New("the lineage has no nodes")

// Lineage reads the graph around a version, up to maxDepth edges away; 0 means the Viewer's
// default of 3. A missing version is KindNotFound, although the Viewer answers 200 with an
// empty graph: the graph of an existing version contains at least the version.
//
//viewer:operation GET /api/artifacts/{artifact}/v{version}/lineage 0.5
func (c *Client) Lineage(ctx context.Context, ref VersionRef, maxDepth int) (*Lineage, error) {
	q, err := ref.call(capLineage)
	if err != nil {
		return nil, err
	}
	if maxDepth < 0 {
		return nil, &IDError{Field: "max_depth", Reason: "must not be negative"}
	}
	if maxDepth > 0 {
		q.query.Set("max_depth", strconv.Itoa(maxDepth))
	}
	graph, err := readJSON[Lineage](ctx, c, q)
	if err == nil && len(graph.Nodes) == 0 {
		missing := c.refused(q, KindNotFound, "")
		missing.Resource, missing.ResourceID, missing.Err = nounArtifact, ref.Name, errNoNodes
		return nil, missing
	}
	return graph, err
}

// RunArtifacts are the artifacts that a run created and used.
type RunArtifacts struct {
	TextQuality
	Created []RunArtifact `json:"created"`
	Used    []RunArtifact `json:"used"`
}

// RunArtifact is an artifact version as the run recorded it. For a deleted one only name,
// type and version are known.
type RunArtifact struct {
	Name        Text `json:"name"`
	Type        Text `json:"type"`
	Version     Int  `json:"version"`
	Size        Int  `json:"size_bytes"`
	CreatedTime Time `json:"created_at"`
	Description Text `json:"description"`
	// Stage is experimental, staging, production or archived.
	Stage Text `json:"lifecycle_stage"`
}

// RunArtifacts lists the artifacts that a run created and used.
//
//viewer:operation GET /api/runs/{run_id}/artifacts 0.5
func (c *Client) RunArtifacts(ctx context.Context, runID string) (*RunArtifacts, error) {
	return readJSON[RunArtifacts](ctx, c, call{cap: capRunArtifacts, ids: []string{runID}})
}
