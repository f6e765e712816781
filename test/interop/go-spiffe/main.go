// go-spiffe as a client of identity: sources, rotation, tokens, bundles, and the bundle endpoint under https_spiffe.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

var failures int

func check(what string, good bool, got any) {
	if good {
		fmt.Println("ok  ", what)
		return
	}
	failures++
	fmt.Println("FAIL", what, got)
}

func must(what string, err error) {
	if err != nil {
		fmt.Println("FAIL", what+":", err)
		os.Exit(1)
	}
}

func cli(args ...string) {
	out, err := exec.Command(os.Getenv("CLI"), append(args, "--config", os.Getenv("CONFIG"))...).CombinedOutput()
	must(string(out), err)
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	td := spiffeid.RequireTrustDomainFromString("interop.test")
	id := spiffeid.RequireFromPath(td, "/ns/test/sa/go")
	self, err := os.Executable()
	must("own path", err)
	cli("entry", "create", "-spiffeID", id.String(), "-parentID", "spiffe://interop.test/sextant/identity",
		"-selector", "unix:path:"+self, "-x509SVIDTTL", "6", "-entryID", "go")
	address := workloadapi.WithClientOptions(workloadapi.WithAddr("unix://" + os.Getenv("SOCKET")))

	source, err := workloadapi.NewX509Source(ctx, address)
	must("X509Source", err)
	defer source.Close()
	first, err := source.GetX509SVID()
	must("X509-SVID", err)
	check("X509Source has our SVID", first.ID == id && len(first.Certificates) == 2, first.ID)
	rotated := false
	for i := 0; i < 100 && !rotated; i++ {
		time.Sleep(100 * time.Millisecond)
		now, err := source.GetX509SVID()
		rotated = err == nil && now.Certificates[0].SerialNumber.Cmp(first.Certificates[0].SerialNumber) != 0
	}
	check("the source follows a rotation by itself", rotated, nil)

	tokens, err := workloadapi.NewJWTSource(ctx, address)
	must("JWTSource", err)
	defer tokens.Close()
	svid, err := tokens.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "a", ExtraAudiences: []string{"b"}})
	must("JWT-SVID", err)
	parsed, err := jwtsvid.ParseAndValidate(svid.Marshal(), tokens, []string{"b"})
	check("go-spiffe validates the token with the JWT bundle", err == nil && parsed.ID == id, err)
	_, err = jwtsvid.ParseAndValidate(svid.Marshal(), tokens, []string{"c"})
	check("and refuses another audience", err != nil, nil)
	client, err := workloadapi.New(ctx, workloadapi.WithAddr("unix://"+os.Getenv("SOCKET")))
	must("client", err)
	defer client.Close()
	valid, err := client.ValidateJWTSVID(ctx, svid.Marshal(), "a")
	check("ValidateJWTSVID", err == nil && valid.ID == id, err)

	bundles, err := client.FetchX509Bundles(ctx)
	must("X.509 bundles", err)
	own, err := bundles.GetX509BundleForTrustDomain(td)
	must("own bundle", err)
	server := spiffeid.RequireFromPath(td, "/sextant/identity")
	published, err := federation.FetchBundle(ctx, td, "https://"+os.Getenv("BUNDLE")+"/bundle",
		federation.WithSPIFFEAuth(own, server))
	check("bundle endpoint under https_spiffe", err == nil && len(published.X509Authorities()) == 1 &&
		len(published.JWTAuthorities()) == 1, err)

	https := http.Client{Transport: &http.Transport{TLSClientConfig: tlsconfig.MTLSClientConfig(source, source,
		tlsconfig.AuthorizeID(server))}}
	reply, err := https.Get("https://" + os.Getenv("BUNDLE") + "/v1/denylist?after=0")
	must("deny-list over mTLS", err)
	body, _ := io.ReadAll(reply.Body)
	check("deny-list over mTLS", reply.StatusCode == 200 && reply.TLS.Version == tls.VersionTLS13, string(body))
	if failures > 0 {
		os.Exit(1)
	}
}
