package rocket

// GET_BROKER_CLUSTER_INFO (106): all brokers, and which cluster they belong to.

func apiClusterInfo() *api {
	return &api{code: 106, name: "GET_BROKER_CLUSTER_INFO", frame: smallFrame, right: right{opGet, onCluster}, handle: clusterInfo}
}

func clusterInfo(s *session, r *request) {
	f := s.front
	s.replyJSON(r, struct {
		BrokerAddrTable  map[string]brokerData `json:"brokerAddrTable"`
		ClusterAddrTable map[string][]string   `json:"clusterAddrTable"`
	}{map[string]brokerData{f.o.BrokerName: f.brokerData()}, map[string][]string{f.o.ClusterName: {f.o.BrokerName}}})
}
