#include "config/load.h"

#include <functional>
#include <utility>

#include "config/assemble.h"
#include "config/dump.h"
#include "config/schema.h"
#include "config/validate.h"
#include "config/values.h"

namespace outrigger::config {
namespace {

// Names that the file left out.
void complete(Draft& draft) {
  for (Inbound& inbound : draft.inbound) {
    if (inbound.name.empty()) inbound.name = inbound.listen.to_string();
  }
  for (Outbound& outbound : draft.outbound) {
    if (outbound.name.empty()) outbound.name = outbound.listen.to_string();
  }
  for (std::size_t i = 0; i < draft.routes.size(); ++i) {
    Route& route = draft.routes[i];
    if (route.name.empty()) route.name = "route-" + std::to_string(i + 1);
  }
}

LoadResult read(Assembler& assembler, const YamlNode& root, Report& report,
                const Environment& environment) {
  LoadResult out;
  Draft draft;
  Reader reader(report);
  if (root.is_null()) {
    reader.plain_error(root.place, "the configuration is empty; it must begin with 'version: 1'");
  } else {
    root_record().read(reader, root, draft);
    complete(draft);
    draft.json = to_json(root);
    draft.hash = hash_of(root);
    validate(draft, root, environment, report);
  }
  out.files = assembler.files();
  if (report.empty()) out.config = std::make_shared<const Config>(std::move(draft));
  return out;
}

LoadResult load(const Environment& environment,
                const std::function<bool(Assembler&, YamlNode&)>& assemble) {
  Report report;
  Assembler assembler(environment, report);
  YamlNode root;
  LoadResult out;
  if (assemble(assembler, root)) {
    out = read(assembler, root, report, environment);
  } else {
    out.files = assembler.files();
  }
  out.errors = report.take();
  out.warnings = report.take_warnings();
  return out;
}

// A key without a value is what a writer leaves who was cut off there; "none" has to be written.
void refuse_nothing(const YamlNode& map, std::string_view instead, Report& report) {
  for (const YamlEntry& entry : map.entries) {
    if (!entry.value.is_null()) continue;
    report.error(entry.key.place, quoted(entry.key.text) + " is empty; write '" + entry.key.text +
                                      ": " + std::string(instead) + "' for none");
  }
}

// `services:` around the map is the documented form; it may be left out.
void read_endpoints(const YamlNode& root, Report& report,
                    std::map<std::string, std::vector<Endpoint>>& out) {
  const YamlNode* inner = root.entries.size() == 1 ? root.find("services") : nullptr;
  const bool wrapped = inner != nullptr && !inner->is_list();
  const YamlNode& services = wrapped ? *inner : root;
  if (wrapped) refuse_nothing(root, "{}", report);
  refuse_nothing(services, "[]", report);
  Reader reader(report);
  map_of<std::vector<Endpoint>>("service", check_service_name, list(record(endpoint_record())))
      .read(reader, services, out);
}

}  // namespace

LoadResult load_file(const std::string& path, const Environment& environment) {
  return load(environment, [&path](Assembler& assembler, YamlNode& root) {
    return assembler.read_file(path, root);
  });
}

LoadResult load_text(std::string text, const std::string& name, const Environment& environment) {
  return load(environment, [&text, &name](Assembler& assembler, YamlNode& root) {
    return assembler.read_text(std::move(text), name, root);
  });
}

EndpointsResult load_endpoints(std::string text, const std::string& name,
                               const std::atomic<bool>* abandoned) {
  EndpointsResult out;
  Report report(abandoned);
  const Source source(name, std::move(text));
  YamlNode root;
  const YamlLimits limits{.bytes_max = endpoints_file_bytes_max,
                          .nodes_max = endpoints_file_values_max};
  if (parse_yaml(source, limits, report, root)) {
    read_endpoints(root, report, out.services);
  }
  out.errors = report.take();
  return out;
}

}  // namespace outrigger::config
