package config

// healthPage says what each type of health check is good for.
const healthPage = `## What checks ask

| type | a backend is well if | and not if |
|---|---|---|
| ` + "`tcp`" + ` | the port is open | it is closed, or silent |
| ` + "`http`" + ` | the status is one of ` + "`expect`" + `, and ` + "`body`" + ` is in the first 256 KiB | anything else |
| ` + "`https`" + ` | as of http, and the certificate is signed by one of ` + "`ca`" + ` for ` + "`host`" + `, or for the backend's address | anything else; the certificate's fault is named |
| ` + "`udp`" + ` | ` + "`expect`" + ` is in the answer; without ` + "`expect`" + ` any answer is good, and silence too, as for keepalived | the port is closed (ICMP), or the first answer is another one |
| ` + "`dns`" + ` | the answer has one of ` + "`rcode`" + `, and a record with ` + "`answer`" + ` | anything else |
| ` + "`icmp`" + ` | it answers an echo | silence, or the network says that it can't be reached |

- A host may bound how many times a second it says that ports are closed, and then is silent: ` + "`udp`" + ` without
  ` + "`expect`" + ` proves little.
- Commands are not run: each would be a process. ` + "`http`" + ` can ask a small server of yours.
- Datagrams do not go through tunnels: ` + "`via: tunnel`" + ` is for tcp, http and https.
- In modes nat and fullnat a backend that refuses three connections in a row, or leaves three SYNs
  unanswered, is checked at once, and quickly until ` + "`fall`" + ` is reached.

` + "```yaml" + `
services:
  - name: shop
    address: 192.0.2.10
    port: 443
    health: {type: https, host: shop.example.com, path: /healthz, interval: 2s, timeout: 1s, fast-interval: 500ms}
    backends: [{address: 10.0.0.11}, {address: 10.0.0.12}]
  - name: dns
    address: 192.0.2.53
    port: 53
    protocol: udp
    health: {type: dns, name: www.example.com, answer: 192.0.2.80}
    backends: [{address: 10.0.0.21}, {address: 10.0.0.22}]
  - name: game
    address: 192.0.2.77
    port: 27015
    protocol: udp
    health: {type: udp, send: "hex:ffffffff54", expect: "hex:ffffffff49", source: 10.0.0.1}
    backends: [{address: 10.0.0.31}]
` + "```" + `

`
