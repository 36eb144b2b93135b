// The API page. Pages and pictures that an answer holds are shown as such, not as their source.
const shown = (Original, system) => (props) => {
  const create = system.React.createElement;
  const type = props.contentType || "";
  if (typeof props.content === "string" && type.startsWith("image/svg")) {
    const src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(props.content);
    return create("div", { className: "answer" }, create("img", { src, alt: "The picture that this request answers" }));
  }
  if (typeof props.content === "string" && type.startsWith("text/html")) {
    return create("iframe", {
      className: "answer",
      title: "The page that this request answers",
      sandbox: "allow-same-origin", // to ask for its height; scripts stay off
      srcDoc: props.content,
      onLoad: (event) => {
        const frame = event.target;
        frame.style.height = `${frame.contentDocument.documentElement.scrollHeight + 2}px`;
      },
    });
  }
  return create(Original, props);
};

// Below a path of a proxy: the folder of this page is where the server is.
const home = new URL(".", location.href).pathname;

function below(request) {
  const url = new URL(request.url, location.href);
  if (url.origin === location.origin && !url.pathname.startsWith(home)) {
    url.pathname = home + url.pathname.slice(1);
    request.url = url.href;
  }
  return request;
}

window.ui = SwaggerUIBundle({
  url: "openapi.json",
  requestInterceptor: below,
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [
    (system) => ({
      wrapComponents: { responseBody: shown },
      // Swagger UI looks for an input of its own for every format, and complains in the console where there is none.
      components: { JsonSchema_string_uuid: (props) => system.React.createElement(system.getComponent("JsonSchema_string"), props) },
    }),
  ],
});
