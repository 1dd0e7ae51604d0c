// The reference at /docs, made from openapi.json without anything from elsewhere.

const reference = document.getElementById("reference");

function make(tag, content = "", className = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...[content].flat());
  return node;
}

function table(heads, rows) {
  const head = make("tr", heads.map((text) => make("th", text)));
  const body = rows.map((cells) => make("tr", cells.map((cell) => make("td", cell))));
  return make("div", make("table", [make("thead", head), make("tbody", body)]), "scroll");
}

/** A schema in a few words: "integer 1–16", "array of HandAnswer". */
function words(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.type === "array") return `array of ${words(schema.items)}`;
  if (schema.anyOf) return schema.anyOf.map(words).join(" or ");
  const low = schema.minimum ?? schema.exclusiveMinimum;
  const range = schema.maximum !== undefined ? ` ${low ?? ""}–${schema.maximum}` : low !== undefined ? ` from ${low}` : "";
  return `${schema.format === "binary" ? "binary" : (schema.type ?? "any")}${range}`;
}

/** Docstrings mark code with backquotes. */
function prose(text) {
  return (text ?? "").split("`").map((part, i) => (i % 2 ? make("code", part) : part));
}

function operation(path, method, details, origin) {
  const section = make("section", [], "operation");
  section.append(make("h2", [make("span", method.toUpperCase(), "method"), ` ${path}`]));
  section.append(make("p", prose(`${details.summary}. ${details.description ?? ""}`.replace("?.", "?"))));
  if (details.parameters?.length) {
    section.append(
      table(
        ["Parameter", "Type", "Default", "Meaning"],
        details.parameters.map(({ name, schema, description }) => [
          make("code", name),
          words(schema),
          String(schema.default ?? ""),
          description ?? "",
        ]),
      ),
    );
  }
  if (details.requestBody) {
    section.append(make("p", `Body: ${Object.keys(details.requestBody.content).join(", ")}`));
  }
  section.append(
    table(
      ["Status", "Meaning", "Body"],
      Object.entries(details.responses).map(([status, response]) => [
        status,
        response.description,
        Object.entries(response.content ?? {})
          .map(([type, { schema }]) => (schema?.$ref ? `${type}: ${words(schema)}` : type))
          .join(", "),
      ]),
    ),
  );
  if (details.security) {
    const header = make("code", "Authorization: Bearer hp_…");
    section.append(make("p", ["If the service has keys: ", header], "hint"));
  }
  section.append(make("pre", curl(path, method, details, origin)));
  return section;
}

function curl(path, method, details, origin) {
  const form = details.requestBody?.content["multipart/form-data"]?.schema;
  if (!form) return `curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${origin}${path}`;
  const [field] = form.required;
  const many = form.properties[field].type === "array";
  const fields = many ? `-F ${field}=@first.jpg -F ${field}=@second.jpg` : `-F ${field}=@hand.jpg`;
  const drawn = `curl ${fields} -H 'Accept: image/png' ${origin}${path} -o drawn.png`;
  const plain = `curl ${fields} ${origin}${path}`;
  return "image/png" in details.responses[200].content ? `${plain}\n${drawn}` : plain;
}

function schemaSection(name, schema) {
  const section = make("section", [], "operation");
  section.append(make("h2", name), make("p", prose(schema.description)));
  const required = new Set(schema.required ?? []);
  section.append(
    table(
      ["Member", "Type", "Meaning"],
      Object.entries(schema.properties ?? {}).map(([member, value]) => [
        make("code", required.has(member) ? member : `${member}?`),
        words(value),
        value.description ?? "",
      ]),
    ),
  );
  return section;
}

try {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`openapi.json: ${response.status}`);
  const api = await response.json();
  const origin = new URL(".", location.href).href.replace(/\/$/, "");
  const sections = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, details]) => operation(path, method, details, origin)),
  );
  const schemas = Object.entries(api.components?.schemas ?? {}).map(([name, schema]) => schemaSection(name, schema));
  reference.replaceChildren(make("p", api.info.description), ...sections, make("h1", "Schemas"), ...schemas);
} catch (error) {
  reference.replaceChildren(make("p", `The reference cannot be shown: ${error.message}`, "error"));
}
