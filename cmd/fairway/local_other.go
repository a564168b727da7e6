//go:build !linux

package main

import "github.com/spf13/cobra"

// localCommands need namespaces of the Linux kernel.
func localCommands() []*cobra.Command { return nil }
