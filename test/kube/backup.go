package kube

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Backup copies what etcd has, for which it and the API server are stopped and started again.
func (s *Server) Backup(ctx context.Context) error {
	return s.stopped(ctx, func() error { return replaceDir(s.backup(), s.data()) })
}

// Restore puts what Backup copied in place of what etcd has, in the same way. Versions of
// objects go on from those of the copy.
func (s *Server) Restore(ctx context.Context) error {
	return s.stopped(ctx, func() error { return replaceDir(s.data(), s.backup()) })
}

func (s *Server) data() string   { return filepath.Join(s.Dir, "etcd") }
func (s *Server) backup() string { return filepath.Join(s.Dir, "etcd-backup") }

// stopped does something while neither etcd nor the API server runs.
func (s *Server) stopped(ctx context.Context, do func() error) error {
	s.apiserver.kill()
	s.etcd.kill()
	if err := do(); err != nil {
		return fmt.Errorf("copying the data of etcd: %w", err)
	}
	if err := s.startEtcd(); err != nil {
		return err
	}
	return s.startAPIServer(ctx)
}

func replaceDir(to, from string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.CopyFS(to, os.DirFS(from))
}
