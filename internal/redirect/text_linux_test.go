package redirect

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestTextIsWhatTheKernelHolds compares Text with what the program nft makes of
// the rules in the kernel, and lets nft read Text.
func TestTextIsWhatTheKernelHolds(t *testing.T) {
	nft, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("no program nft to compare with")
	}
	p := newPair(t)
	c, err := parse(t, strings.Fields("-b 8080,9090 -d 15021 -o 3306 -q 443 -i 10.0.0.0/8,fd00::/7,10.9.8.7 -x 10.1.0.0/17,fd00:1::/33 -c net1")...)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{Default(), c} {
		p.apply(t, c)
		var held, loaded []byte
		list := func() (out []byte, err error) {
			return exec.Command(nft, "list", "table", "inet", tableName).CombinedOutput()
		}
		inside(t, p.pod, func() (err error) {
			held, err = list()
			return err
		})
		inside(t, p.pod, func() (err error) {
			if err := Remove(); err != nil {
				return err
			}
			cmd := exec.Command(nft, "-f", "-")
			cmd.Stdin = strings.NewReader(c.Text())
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("nft refuses the text: %w\n%s\n%s", err, out, c.Text())
			}
			loaded, err = list()
			return err
		})
		if !bytes.Equal(held, loaded) {
			t.Errorf("the kernel holds\n%s\nthe text means\n%s", held, loaded)
		}
	}
}
