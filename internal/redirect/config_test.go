package redirect

import (
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func parse(t testing.TB, args ...string) (Config, error) {
	t.Helper()
	var f flags
	set := pflag.NewFlagSet("redirect", pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	f.register(set)
	if err := set.Parse(args); err != nil {
		return Config{}, err
	}
	return f.config()
}

func mustPrefixes(t testing.TB, text string) Prefixes {
	t.Helper()
	p, err := ParsePrefixes(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFlags(t *testing.T) {
	with := func(change func(*Config)) Config {
		c := Default()
		change(&c)
		return c
	}
	for _, tc := range []struct {
		name string
		args []string
		want Config
	}{
		{"nothing said is the default", nil, Default()},
		{"as Istio's injector writes them",
			strings.Split("-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -x  -b * -d 15090,15021,15020", " "), Default()},
		{"ports: none is not all", []string{"-b", ""}, with(func(c *Config) { c.IncludeInbound = Ports{} })},
		{"ports: some, sorted, once", []string{"-b", "9090, 80,80"}, with(func(c *Config) { c.IncludeInbound = PortList(80, 9090) })},
		{"long names", []string{"--istio-local-outbound-ports-exclude=25,26", "--envoy-port=1", "--inbound-capture-port=2"}, with(func(c *Config) {
			c.ExcludeOutboundPorts, c.OutboundPort, c.InboundPort = PortList(25, 26), 1, 2
		})},
		{"ranges of both families, masked", []string{"-i", "10.1.2.3/8,fd00::1/16", "-x", "10.2.0.1,::ffff:10.3.0.0/112"}, with(func(c *Config) {
			c.IncludeOutbound = mustPrefixes(t, "10.0.0.0/8,fd00::/16")
			c.ExcludeOutbound = mustPrefixes(t, "10.2.0.1/32,10.3.0.0/16")
		})},
		{"interfaces", []string{"-c", "eth1, net0"}, with(func(c *Config) { c.ExcludeInterfaces = []string{"eth1", "net0"} })},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(t, tc.args...)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
			again, err := parse(t, got.Args()...)
			if err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("Args %q mean %+v (%v)", got.Args(), again, err)
			}
		})
	}
}

func TestFlagsRefused(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"-b http", `--istio-inbound-ports: port "http"`},
		{"-b 0", `port "0"`},
		{"-d 65536", `--istio-local-exclude-ports: port "65536"`},
		{"-d *", "excluded inbound ports: * is not allowed"},
		{"-o *", "excluded outbound ports: * is not allowed"},
		{"-x *", "excluded outbound ranges: * is not allowed"},
		{"-i 10.0.0.0/33", `--istio-service-cidr: range "10.0.0.0/33"`},
		{"-x nonsense", `--istio-service-exclude-cidr: range "nonsense"`},
		{"-m TPROXY", "only REDIRECT"},
		{"-u 0", "must not run as root"},
		{"-p 15006", "must differ"},
		{"-p 0", "must be 1 to 65535"},
		{"-c waytoolonginterface", `interface "waytoolonginterface"`},
		{`-c a"b`, "not the name of a network device"},
	} {
		if _, err := parse(t, strings.Fields(tc.args)...); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", tc.args, err, tc.want)
		}
	}
}

// FuzzFlags holds that no text makes the parsers fail other than by an error,
// and that what they accept survives being written and read again.
func FuzzFlags(f *testing.F) {
	f.Add("*", "", "80,443", "eth0")
	f.Add("80", "10.0.0.0/8,::/0", "*", "")
	f.Add(" ,,", "::ffff:1.2.3.4", "65535", "a,b")
	f.Add("1,*,2", "fe80::1%eth0", "-1", "lo")
	f.Fuzz(func(t *testing.T, in, ranges, out, devices string) {
		c, err := parse(t, "-b", in, "-x", ranges, "-o", out, "-c", devices)
		if err != nil {
			return
		}
		again, err := parse(t, c.Args()...)
		if err != nil {
			t.Fatalf("%q: %v", c.Args(), err)
		}
		if again.Text() != c.Text() {
			t.Fatalf("%q changes meaning when read again:\n%s\n%s", c.Args(), c.Text(), again.Text())
		}
		if strings.ContainsAny(c.Text(), ";") && strings.Count(c.Text(), ";") != 4 {
			t.Fatalf("text of the user ends a statement:\n%s", c.Text())
		}
	})
}
