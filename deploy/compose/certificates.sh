#!/bin/bash
# Makes what dask's TLS needs, in FOLDER: an authority of our own (ca.pem), and a certificate with its key (dask.pem,
# dask.key) for scheduler, workers and daemon. Names are not checked by dask; who has a certificate of this authority is
# one of us. So: for this cluster only, and ca.key is thrown away. Nothing that exists is overwritten.
#   certificates.sh FOLDER [DAYS]
set -euo pipefail
folder=${1:?usage: certificates.sh FOLDER [DAYS]}
days=${2:-825}
umask 077
mkdir -p "$folder"
for name in ca.pem dask.pem dask.key; do
    [[ ! -e $folder/$name ]] || { echo "certificates.sh: $folder/$name exists; remove it, or name another folder" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl req -x509 -newkey rsa:3072 -nodes -sha256 -days "$days" -subj "/CN=octree-serve dask authority" \
    -keyout "$work/ca.key" -out "$folder/ca.pem" 2>/dev/null
openssl req -newkey rsa:3072 -nodes -sha256 -subj "/CN=octree-serve dask" \
    -keyout "$folder/dask.key" -out "$work/dask.csr" 2>/dev/null
openssl x509 -req -sha256 -days "$days" -in "$work/dask.csr" -CA "$folder/ca.pem" -CAkey "$work/ca.key" -CAcreateserial \
    -CAserial "$work/ca.srl" -out "$folder/dask.pem" 2>/dev/null
chmod 0644 "$folder/ca.pem" "$folder/dask.pem"
echo "made $folder/ca.pem, dask.pem, dask.key; in containers user 10001 must read dask.key: chown 10001 $folder/dask.key"
