// The command line: wires everything together and dispatches to the subcommands.

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>

#include "cli/cert_commands.h"
#include "cli/completion.h"
#include "cli/config_commands.h"
#include "cli/run_command.h"
#include "cli/version.h"

namespace {

constexpr int usage_error = 64;

outrigger::WallTime now() {
  return std::chrono::floor<outrigger::microseconds>(std::chrono::system_clock::now());
}

// CLI11's own messages, with the field's exit code for wrong usage.
int report(const CLI::App& app, const CLI::ParseError& error) {
  return app.exit(error) == 0 ? 0 : usage_error;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace outrigger::cli;
  CLI::App app{
      "Outrigger, a service-mesh sidecar: discovery, balancing, mTLS, retries and metrics beside "
      "one service."};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("outrigger ") + OUTRIGGER_VERSION);
  int exit_code = 0;

  std::string config_file;
  CLI::App* run = app.add_subcommand("run", "run the sidecar in the foreground");
  run->add_option("-c,--config", config_file, "the configuration file")->required();
  run->callback([&] { exit_code = run_command(config_file); });

  std::vector<std::string> files;
  std::string format = "text";
  CLI::App* validate = app.add_subcommand(
      "validate", "check configuration files; all errors are reported with file, line and column");
  validate->add_option("files", files, "configuration files")->required();
  validate->add_option("--format", format, "text or json")->check(CLI::IsMember({"text", "json"}));
  validate->callback([&] { exit_code = validate_command(files, format == "json"); });

  std::string path;
  CLI::App* explain = app.add_subcommand(
      "explain", "describe a part of the configuration language, such as services.NAME.retry");
  explain->add_option("path", path, "dotted path; by default the top level");
  explain->callback([&] { exit_code = explain_command(path); });

  CLI::App* schema =
      app.add_subcommand("schema", "print the JSON Schema of the configuration language");
  schema->callback([&] { exit_code = schema_command(); });

  CLI::App* version = app.add_subcommand("version", "print the version");
  version->callback(
      [&] { std::printf("outrigger %s (commit %s)\n", OUTRIGGER_VERSION, build_commit); });

  std::string shell;
  CLI::App* complete = app.add_subcommand(
      "completion", "print a script that completes this command line in a shell");
  complete->add_option("shell", shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  complete->callback([&] { std::fputs(completion(app, shell)->c_str(), stdout); });

  CLI::App* cert =
      app.add_subcommand("cert", "make a development CA and certificates with SPIFFE IDs");
  cert->require_subcommand(1);
  CertCaOptions ca;
  CLI::App* cert_ca = cert->add_subcommand("ca", "make a CA: ca.crt and ca.key");
  cert_ca->add_option("--out", ca.dir, "output directory; created if missing")->required();
  cert_ca->add_option("--trust-domain", ca.trust_domain, "the trust domain, such as example.org")
      ->required();
  cert_ca->add_option("--days", ca.days, "validity in days")->capture_default_str();
  cert_ca->add_flag("--force", ca.force, "overwrite existing files");
  cert_ca->callback([&] { exit_code = cert_ca_command(ca, now(), std::cout, std::cerr); });
  CertIssueOptions issue;
  CLI::App* cert_issue = cert->add_subcommand("issue", "make a certificate: tls.crt and tls.key");
  cert_issue->add_option("--ca", issue.ca_dir, "the CA's directory")->required();
  cert_issue->add_option("--out", issue.out_dir, "output directory; created if missing")
      ->required();
  cert_issue->add_option("id", issue.identity, "a service name or a complete SPIFFE ID")
      ->required();
  cert_issue->add_option("--dns", issue.dns, "DNS names to add");
  cert_issue->add_option("--days", issue.days, "validity in days")->capture_default_str();
  cert_issue->add_flag("--force", issue.force, "overwrite existing files");
  cert_issue->callback([&] { exit_code = cert_issue_command(issue, now(), std::cout, std::cerr); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report(app, error);
  }
  return exit_code;
}
