// Writes files of the trees and branches that art's RootOutput makes, with the classes of classes.h.
#pragma once
#include "fill.h"
#include "json.h"

#include <TFile.h>
#include <TTree.h>

#include <fstream>

namespace files {
  // art's ProductIDs: the CRC-32 of the branch names
  constexpr unsigned int hits_id = 0x8496fafd;  // recob::Hits_gaushit__Reco1.

  template <typename T>
  T* branch(TTree& tree, const char* name, int split) {
    auto* wrapper = new art::Wrapper<T>;
    tree.Branch(name, wrapper, 4000, split);
    return &wrapper->obj;
  }

  inline void write(const char* path, int split, int compression, int n_events, unsigned int points_id,
                    unsigned int features_id) {
    TFile out(path, "RECREATE", "", compression);
    TTree events("Events", "Events"), subruns("SubRuns", "SubRuns"), runs("Runs", "Runs");
    art::EventAuxiliary event;
    events.Branch("EventAuxiliary", &event, 4000, 0);
    auto* animals = branch<std::vector<zoo::Animal>>(events, "zoo::Animals_keeper__Reco1.", split);
    auto* animal = branch<zoo::Animal>(events, "zoo::Animal_keeper__Reco1.", split);
    auto* wires = branch<std::vector<recob::Wire>>(events, "recob::Wires_butcher__Reco1.", split);
    auto* hits = branch<std::vector<recob::Hit>>(events, "recob::Hits_gaushit__Reco1.", split);
    auto* points = branch<std::vector<recob::SpacePoint>>(events, "recob::SpacePoints_pandora__Reco2.", split);
    auto* clusters = branch<std::vector<recob::Cluster>>(events, "recob::Clusters_pandora_a_b_Reco2.", split);
    auto* features = branch<std::vector<anab::FeatureVector<3>>>(events, "3anab::FeatureVectors_emtrack_x_Reco2.", split);
    auto* feature = branch<anab::FeatureVector<1>>(events, "1anab::FeatureVector_emtrack_x_Reco2.", split);
    auto* point_hits = branch<art::Assns<recob::SpacePoint, recob::Hit>>(
      events, "recob::Hitrecob::SpacePointvoidart::Assns_pandora__Reco2.", split);
    auto* hit_features = branch<art::Assns<recob::Hit, anab::FeatureVector<3>>>(
      events, "3anab::FeatureVectorrecob::Hitvoidart::Assns_pandora__Reco2.", split);
    for (int e = 0; e < n_events; ++e) {
      event.id_.subRun_.run_.run_ = 7;
      event.id_.subRun_.subRun_ = e / 2;
      event.id_.event_ = 100 + e;
      event.time_.timeLow_ = e;
      event.time_.timeHigh_ = 4000000000u + e;
      event.isRealData_ = e % 2;
      animals->assign(e, {});
      for (int i = 0; i < e; ++i) fill::animal((*animals)[i], e, i);
      *animal = {};
      fill::animal(*animal, e, 2);
      wires->clear(), hits->clear(), points->clear(), clusters->clear();
      fill::wires(*wires, e);
      fill::hits(*hits, e);
      fill::points(*points, e);
      fill::clusters(*clusters, e);
      features->assign(hits->size(), {{0.25f, 0.5f, e / 4.0f}});
      feature->fData[0] = e;
      *point_hits = {};
      *hit_features = {};
      fill::links(*point_hits, 2 * e, hits_id, points_id);
      fill::links(*hit_features, 5 * e, features_id, hits_id);
      events.Fill();
    }
    art::SubRunAuxiliary subrun;
    subruns.Branch("SubRunAuxiliary", &subrun, 4000, 0);
    auto* pot = branch<sumdata::POTSummary>(subruns, "sumdata::POTSummary_generator__Gen.", split);
    for (int s = 0; 2 * s < n_events; ++s) {
      subrun.id_.run_.run_ = 7;
      subrun.id_.subRun_ = s;
      *pot = {1e18 + s, 1e17 + s, 20 + s, 10 + s};
      subruns.Fill();
    }
    art::RunAuxiliary run;
    runs.Branch("RunAuxiliary", &run, 4000, 0);
    auto* run_pot = branch<sumdata::POTSummary>(runs, "sumdata::POTSummary_generator__Gen.", split);
    run.id_.run_ = 7;
    *run_pot = {3e18, 2e18, 50, 40};
    runs.Fill();
    out.Write();
  }

  template <typename T>
  void read(TFile& in, const char* branch, int event, std::ostream& out) {
    auto* tree = in.Get<TTree>("Events");
    auto* wrapper = new art::Wrapper<T>;
    tree->SetBranchAddress(branch, &wrapper);
    tree->GetBranch(branch)->GetEntry(event);
    json::write(out, wrapper->obj);
    tree->ResetBranchAddresses();
  }

  inline void reference(const char* path, const char* to, int n_events) {
    TFile in(path);
    std::ofstream out(to);
    for (int e = 0; e < n_events; ++e) {
      out << (e ? ",\n" : "[") << "{\"animals\":";
      read<std::vector<zoo::Animal>>(in, "zoo::Animals_keeper__Reco1.", e, out);
      out << ",\"animal\":";
      read<zoo::Animal>(in, "zoo::Animal_keeper__Reco1.", e, out);
      out << '}';
    }
    out << "]\n";
  }
}
