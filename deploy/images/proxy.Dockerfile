# The TLS proxy: Caddy, on unprivileged ports, as a user of its own.
FROM caddy:2-alpine
# A copy is without the file capability of the original, which could not be started with all capabilities dropped.
RUN cp /usr/bin/caddy /usr/local/bin/caddy && adduser -D -H -u 10002 proxy && chown -R proxy /data /config
COPY deploy/images/Caddyfile /etc/caddy/Caddyfile
USER proxy
EXPOSE 8080 8443
HEALTHCHECK CMD ["wget", "--quiet", "--output-document=/dev/null", "http://127.0.0.1:2019/config/"]
CMD ["/usr/local/bin/caddy", "run", "--config", "/etc/caddy/Caddyfile"]
