// Uses a runicorn-grpc server: lists experiments, reads a history, tails a run, and reads
// an error.
#include <iostream>
#include <string>
#include <vector>

#include "failure.h"
#include "lines.h"
#include "runicornapi/v1/experiment_service.grpc.pb.h"
#include "runicornapi/v1/metric_service.grpc.pb.h"
#include "tail.h"

using namespace runicornapi::v1;

namespace {

const char* const usage = "usage: example [--address HOST:PORT] [--cut-after N] [--points N] list | history RUN | tail RUN | error";

std::shared_ptr<grpc::Channel> connect(const std::string& address) {
  return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
}

// Prints all experiments of all Viewers, page by page.
void list(const std::string& address, const Lines& out) {
  ExperimentService::Stub experiments(connect(address));
  ListExperimentsRequest request;
  request.set_viewer("-");
  request.set_page_size(100);
  do {
    grpc::ClientContext context;
    ListExperimentsResponse answer;
    check(experiments.ListExperiments(&context, request, &answer));
    for (const Experiment& e : answer.experiments()) {
      out.print("{\"run_id\":" + quoted(e.run_id()) + ",\"path\":" + quoted(e.path()) + ",\"status\":" +
                quoted(ExperimentStatus_Name(e.status())) + "}");
    }
    request.set_page_token(answer.next_page_token());
  } while (!request.page_token().empty());
}

// Prints every point that a run has logged until now.
void history(const std::string& address, const std::string& run, Lines& out) {
  MetricService::Stub metrics(connect(address));
  StreamMetricsRequest request;
  request.add_run_ids(run);
  grpc::ClientContext context;
  const auto messages = metrics.StreamMetrics(&context, request);
  bool complete = false;
  for (StreamMetricsResponse message; messages->Read(&message);) {
    complete = message.has_trailer();
    out.print(message.batch());
  }
  check(messages->Finish());
  if (!complete) throw std::runtime_error("the history is truncated: no trailer");
}

// Requests a run that does not exist, and prints the reason and details of the error.
void error(const std::string& address, const Lines& out) {
  ExperimentService::Stub experiments(connect(address));
  GetExperimentRequest request;
  request.set_run_id("20200101_000000_abcdef");
  grpc::ClientContext context;
  GetExperimentResponse answer;
  const grpc::Status status = experiments.GetExperiment(&context, request, &answer);
  const auto info = detail<google::rpc::ErrorInfo>(status);
  if (!info) throw std::runtime_error("no error with google.rpc.ErrorInfo: " + status.error_message());
  // grpc++ does not have the names of codes.
  const std::string code = status.error_code() == grpc::NOT_FOUND ? "\"NOT_FOUND\"" : std::to_string(status.error_code());
  out.print("{\"code\":" + code + "," + json(*info).substr(1));
}

void run(int count, char** args) {
  std::string address = "127.0.0.1:23310";
  int cut_after = 0;
  std::size_t points = 0;
  std::vector<std::string> rest;
  for (int i = 1; i < count; i++) {
    const std::string arg = args[i];
    const bool flag = arg == "--address" || arg == "--cut-after" || arg == "--points";
    if (flag && i + 1 == count) throw std::invalid_argument(usage);
    if (arg == "--address") {
      address = args[++i];
    } else if (arg == "--cut-after") {
      cut_after = std::stoi(args[++i]);
    } else if (arg == "--points") {
      points = std::stoul(args[++i]);
    } else {
      rest.push_back(arg);
    }
  }
  Lines out(points);
  const std::string command = rest.empty() ? "" : rest[0];
  if (command == "list" && rest.size() == 1) {
    list(address, out);
  } else if (command == "history" && rest.size() == 2) {
    history(address, rest[1], out);
  } else if (command == "tail" && rest.size() == 2) {
    Tail(address, rest[1], cut_after, out).run();
  } else if (command == "error" && rest.size() == 1) {
    error(address, out);
  } else {
    throw std::invalid_argument(usage);
  }
}

}  // namespace

int main(int count, char** args) {
  try {
    run(count, args);
  } catch (const std::exception& failure) {
    std::cerr << failure.what() << std::endl;
    return 1;
  }
}
