// node-easywechat: with "stable" it asks /cgi-bin/stable_token, with "classic" /cgi-bin/token, with "work" WeCom.
const { OfficialAccount, Work } = require('node-easywechat');
const { serve, TEXT } = require('./driver.cjs');

const { WECHAT_BASE_URL, WECHAT_APPID, WECHAT_SECRET, WECHAT_AGENTID, WX_TEST_PICTURE } = process.env;
const kind = process.argv[2];
const work = kind === 'work';

const app = new (work ? Work : OfficialAccount)({
  [work ? 'corp_id' : 'app_id']: WECHAT_APPID,
  secret: WECHAT_SECRET,
  use_stable_access_token: kind === 'stable',
  http: { baseURL: WECHAT_BASE_URL },
});
const message = { msgtype: 'text', text: { content: TEXT } };
const [path, body] = work
  ? ['/cgi-bin/message/send', { touser: 'witness', agentid: Number(WECHAT_AGENTID), ...message }]
  : ['/cgi-bin/message/custom/send', { touser: 'oWitness', ...message }];

// It returns what WeChat says, also an error.
const good = (answer) => {
  if (answer.errcode) throw new Error(JSON.stringify(answer));
  return answer;
};

serve(
  {
    call: async () => good((await app.getClient().postJson(path, body)).toObject()),
    ticket: () => app.getTicket().getTicket(),
    upload: async () => {
      const client = app.getClient().withFile(WX_TEST_PICTURE, 'media');
      return good((await client.post('/cgi-bin/media/upload', { params: { type: 'image' } })).toObject());
    },
  },
  () => app.getAccessToken().getToken(),
);
