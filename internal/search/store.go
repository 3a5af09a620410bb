package search

type store struct{}
