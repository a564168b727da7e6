package inject

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
)

// TestEnvoyAcceptsTheArguments starts a stock Envoy with what the injector
// wrote, far enough to see whether it would run.
func TestEnvoyAcceptsTheArguments(t *testing.T) {
	binary := envoytest.Path(t)
	dir := t.TempDir() // stands for the volume with the credentials
	files := bootstrap.SDSFiles(dir)
	files[bootstrap.TokenFile], files[bootstrap.AuthorityFile] = "token", authority
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tried := map[string]bool{}
	for _, spec := range injectedPods(t) {
		proxy, _ := proxyOf(spec)
		args := append(expand(proxy), "--mode", "validate")
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], bootstrap.DefaultCredentialDir, dir)
		}
		if key := strings.Join(args, " "); tried[key] {
			continue
		} else {
			tried[key] = true
		}
		out, err := exec.Command(binary, args...).CombinedOutput()
		if err != nil || strings.Contains(string(out), "[warning]") {
			t.Errorf("%v:\n%s", err, out)
		}
	}
	if len(tried) < 5 {
		t.Errorf("only %d different sets of arguments", len(tried))
	}
}

// authority is any certificate: Envoy reads it, nobody is asked to trust it.
const authority = `-----BEGIN CERTIFICATE-----
MIIBdjCCARugAwIBAgIUDm0BucvSYHHLPCM4Hrki9eUp42YwCgYIKoZIzj0EAwIw
DzENMAsGA1UECgwEdGVzdDAgFw0yNjExMjExMjAzNDhaGA8yMTI2MTAyODEyMDM0
OFowDzENMAsGA1UECgwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCBo
J/FZCVwj1vxGWFuaZ4NWhNp7oEsuHZHdWxMzge9Gm30/ZX/MkofPRCTNuxonXvHT
pm8iBJH4F0HK6LWJQI6jUzBRMB0GA1UdDgQWBBQMNqzLVsboZTnc74p0tmkrp9yM
3zAfBgNVHSMEGDAWgBQMNqzLVsboZTnc74p0tmkrp9yM3zAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0kAMEYCIQDgMeaYvUAMbMCf8o0jyvKZ/WeM8NyT/elw
h6h6y6ihqwIhAL5kAx1HknARwIDctVx1ivsam2v9+JWdXzZuMmRNwK1m
-----END CERTIFICATE-----
`
