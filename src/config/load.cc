#include "config/load.h"

#include <functional>
#include <utility>

#include "config/assemble.h"
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
    reader.plain_error(root.place, "the configuration is empty; it begins with 'version: 1'");
  } else {
    root_record().read(reader, root, draft);
    complete(draft);
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
  return out;
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

EndpointsResult load_endpoints(std::string text, const std::string& name) {
  EndpointsResult out;
  Report report;
  const Source source(name, std::move(text));
  YamlNode root;
  if (parse_yaml(source, YamlLimits{.bytes_max = 64 * 1024 * 1024, .nodes_max = 5'000'000}, report,
                 root)) {
    Reader reader(report);
    const auto services = map_of<std::vector<Endpoint>>("service", check_service_name,
                                                        list(record(endpoint_record())));
    services.read(reader, root, out.services);
  }
  out.errors = report.take();
  return out;
}

}  // namespace outrigger::config
