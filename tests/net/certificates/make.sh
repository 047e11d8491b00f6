#!/bin/sh
# Make the certificates in this folder anew, with openssl: an authority, and what it has
# signed for localhost, for another host, and for a client. They last for 100 years.
set -e
cd "$(dirname "$0")"
new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256; }

new_key > authority.key
openssl req -x509 -key authority.key -subj "/CN=tests of tasklets" -days 36500 \
    -addext keyUsage=critical,keyCertSign,cRLSign -out authority.pem

sign() { # name, subject, alternative names
    new_key > "$1.key"
    openssl req -new -key "$1.key" -subj "/CN=$2" -out "$1.csr"
    {
        echo basicConstraints=CA:FALSE
        echo subjectKeyIdentifier=hash
        echo authorityKeyIdentifier=keyid
        echo "subjectAltName=$3"
    } > "$1.ext"
    openssl x509 -req -in "$1.csr" -CA authority.pem -CAkey authority.key \
        -extfile "$1.ext" -days 36500 -out "$1.crt"
    cat "$1.crt" "$1.key" > "$1.pem"
    rm "$1.crt" "$1.key" "$1.csr" "$1.ext"
}
sign localhost localhost "DNS:localhost,IP:127.0.0.1,IP:::1"
sign elsewhere elsewhere.example "DNS:elsewhere.example"
sign client "a client" "DNS:client.example"
rm -f authority.key authority.srl
