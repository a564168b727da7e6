package cluster_test

import "testing"

func testReplicas(t *testing.T, s *suite)   {}
func testLifeOfPods(t *testing.T, s *suite) {}
func testRelease(t *testing.T, s *suite)    {}
func testUninstall(t *testing.T, s *suite)  {}
