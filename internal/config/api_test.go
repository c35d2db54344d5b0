package config

import (
	"strings"
	"testing"
)

// Nobody serves the API to others without saying who they are.
func TestAPIKeysAreAllOrNone(t *testing.T) {
	all := map[string]string{"listen": "10.0.0.1:9191", "cert": "/c.pem", "key": "/k.pem", "client-ca": "/a.pem"}
	for left := range all {
		var keys []string
		for k, v := range all {
			if k != left {
				keys = append(keys, k+`: "`+v+`"`)
			}
		}
		_, err := Parse("f", []byte("services: []\napi: {"+strings.Join(keys, ", ")+"}\n"))
		if err == nil || !strings.Contains(err.Error(), "f:2: api."+left+": is missing") {
			t.Errorf("without %s: %v", left, err)
		}
	}
	_, err := Parse("f", []byte("services: []\napi: {listen: here, cert: c.pem, key: /k, client-ca: /a}\n"))
	if err == nil || !strings.Contains(err.Error(), "api.listen: ") || !strings.Contains(err.Error(), `api.cert: "c.pem" is no absolute path`) {
		t.Errorf("%v", err)
	}
}
